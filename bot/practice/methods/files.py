"""Files in three steps: ask for an address, send the bytes there, share the file in a channel."""

from __future__ import annotations

import mimetypes
import secrets
from collections.abc import Mapping
from typing import Any

from bot.practice.messages import Message
from bot.practice.methods.call import Call, Method
from bot.practice.refusals import MethodRefusedError
from bot.practice.residents import BOT_USER
from bot.practice.workspace import Upload, Workspace

LARGEST_FILE = 5_000_000  # bytes; everything here is in memory


def get_upload_url(call: Call) -> Mapping[str, object]:
    """`files.getUploadURLExternal`."""
    length = call.whole("length", 0)
    if length <= 0:
        raise MethodRefusedError("invalid_arguments", ["must be more than 0 [json-pointer:/length]"])
    if length > LARGEST_FILE:
        raise MethodRefusedError("file_upload_size_restricted")
    upload = Upload(f"F{secrets.token_hex(5).upper()}", call.required("filename"), length)
    call.workspace.uploads[upload.id] = upload
    return {"upload_url": f"{call.base_url}/upload/v1/{upload.id}", "file_id": upload.id}


def receive(workspace: Workspace, file_id: str, content: bytes) -> Upload:
    """Keep the bytes of an announced file.

    Raises:
        MethodRefusedError: `file_not_found`, or `length_mismatch` where it is not as announced.
    """
    upload = workspace.uploads.get(file_id)
    if upload is None:
        raise MethodRefusedError("file_not_found")
    if len(content) != upload.length:
        raise MethodRefusedError("length_mismatch")
    upload.content = content
    return upload


def complete_upload(call: Call) -> Mapping[str, object]:
    """`files.completeUploadExternal`: with a channel, a message shows the files."""
    uploads = [_completed(call, item) for item in call.structure("files") or ()]
    if not uploads:
        raise MethodRefusedError("invalid_arguments", ["no fewer than 1 items allowed [json-pointer:/files]"])
    files = [_as_json(call, upload) for upload in uploads]
    reference = call.text("channel_id") or call.text("channels").partition(",")[0]
    if reference:
        channel = call.workspace.channel_of_bot(reference)
        call.workspace.post(
            Message(
                channel=channel.id,
                ts=call.workspace.next_ts(),
                author=BOT_USER,
                text=call.text("initial_comment"),
                thread_ts=call.text("thread_ts"),
                files=files,
            )
        )
    return {"files": files}


def _completed(call: Call, item: Mapping[str, Any]) -> Upload:
    upload = call.workspace.uploads.get(str(item.get("id")))
    if upload is None or upload.content is None:
        raise MethodRefusedError("file_not_found")
    upload.title = str(item.get("title") or upload.filename)
    return upload


def _as_json(call: Call, upload: Upload) -> dict[str, object]:
    kind, _ = mimetypes.guess_type(upload.filename)
    return {
        "id": upload.id,
        "name": upload.filename,
        "title": upload.title,
        "mimetype": kind or "application/octet-stream",
        "size": upload.length,
        "user": BOT_USER,
        "url_private": f"{call.base_url}/files/{upload.id}",
        "permalink": f"{call.base_url}/files/{upload.id}",
    }


METHODS: Mapping[str, Method] = {
    "files.getUploadURLExternal": get_upload_url,
    "files.completeUploadExternal": complete_upload,
}
