/* The practice workspace's page.
 *
 * The server sends what one person sees, again after each change; this draws it.  Foreign text is only
 * ever put in as text nodes, and links lead only to http, https and mailto.
 */

"use strict";

const byId = (id) => document.getElementById(id);

/** Make an element.  Properties beginning with "on" are listeners; everything else is an attribute. */
function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/* --- state ---------------------------------------------------------------------------------------- */

const address = new URL(location.href);
const view = {
  person: sessionStorage.getItem("act-as") || "alice",
  channel: address.searchParams.get("channel") || "",
  pointed: address.searchParams.get("message") || "",
  thread: address.searchParams.get("thread") || "",
  seen: {},
};
history.replaceState(null, "", "/"); // the secret has become a cookie; it need not stay in sight

let state = null;
let socket = null;
let retryDelay = 250; // milliseconds

function connect() {
  const link = new WebSocket(`ws://${location.host}/practice/changes?as=${encodeURIComponent(view.person)}`);
  socket = link;
  link.onmessage = (event) => {
    retryDelay = 250;
    state = JSON.parse(event.data);
    draw();
  };
  link.onclose = () => {
    if (socket !== link) return;
    showConnection(false, "Workspace stopped, trying again");
    setTimeout(connect, retryDelay);
    retryDelay = Math.min(retryDelay * 2, 4000);
  };
}

function actAs(name) {
  view.person = name;
  sessionStorage.setItem("act-as", name);
  const old = socket;
  connect();
  old.close();
}

async function act(deed, given) {
  const answer = await fetch(`/practice/${deed}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ as: view.person, ...given }),
  }).then((response) => response.json(), () => ({ ok: false, error: "the workspace does not answer" }));
  if (!answer.ok) showNotice({ text: `That did not work: ${answer.error}.` });
  return answer;
}

const person = (id) => state.people.find((each) => each.id === id);
const channel = (id) => state.channels.find((each) => each.id === id);
const isReply = (message) => message.thread_ts && message.thread_ts !== message.ts;

/* --- mrkdwn --------------------------------------------------------------------------------------- */

const EMOJI = {
  white_check_mark: "✅", heavy_check_mark: "✔️", x: "❌", warning: "⚠️", rotating_light: "🚨", eyes: "👀",
  fire: "🔥", hourglass_flowing_sand: "⏳", hourglass: "⌛", lock: "🔒", no_entry: "⛔", no_entry_sign: "🚫",
  bell: "🔔", information_source: "ℹ️", question: "❓", ambulance: "🚑", wrench: "🔧", tada: "🎉", "+1": "👍",
  "-1": "👎", thumbsup: "👍", red_circle: "🔴", large_green_circle: "🟢", large_yellow_circle: "🟡",
  black_square_for_stop: "⏹️", snowflake: "❄️", clock3: "🕒", speech_balloon: "💬", link: "🔗", bust_in_silhouette: "👤",
};

const unescapeText = (text) => text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
const withEmoji = (text) => text.replace(/:([a-z0-9_+-]+):/g, (whole, name) => EMOJI[name] ?? whole);

/** Draw mrkdwn: code blocks first, then quotations line by line, then what stands inside a line. */
function mrkdwn(text, verbatim = false) {
  const root = el("div", { class: "text" });
  text.split(/```/).forEach((part, index, parts) => {
    if (index % 2 && index < parts.length - 1) {
      root.append(el("pre", {}, el("code", {}, unescapeText(part.replace(/^\n/, "").replace(/\n$/, "")))));
    } else if (part) {
      const rest = index % 2 ? "```" + part : part;
      root.append(...lines(index ? rest.replace(/^\n/, "") : rest, verbatim));
    }
  });
  return root;
}

function lines(text, verbatim) {
  const nodes = [];
  let quotation = null;
  for (const line of text.split("\n")) {
    const quoted = line.match(/^(?:&gt;|>) ?(.*)$/);
    if (quoted) {
      if (quotation) quotation.append("\n");
      else nodes.push((quotation = el("blockquote")));
      quotation.append(...inline(quoted[1], verbatim));
      continue;
    }
    if (nodes.length && !quotation) nodes.push("\n");
    quotation = null;
    nodes.push(...inline(line, verbatim));
  }
  return nodes;
}

const SPAN = new RegExp(
  [
    "`([^`]+)`",
    "<([^<>]+)>",
    "(?<![\\p{L}\\p{N}*])\\*(?![\\s*])([^*]+?)(?<!\\s)\\*(?![\\p{L}\\p{N}*])",
    "(?<![\\p{L}\\p{N}_])_(?![\\s_])((?:[^_]|(?<=[\\p{L}\\p{N}])_(?=[\\p{L}\\p{N}]))+?)(?<!\\s)_(?![\\p{L}\\p{N}_])",
    "(?<![\\p{L}\\p{N}~])~(?![\\s~])([^~]+?)(?<!\\s)~(?![\\p{L}\\p{N}~])",
    "(https?:\\/\\/[^\\s<>|]+[^\\s<>|.,:;!?)])",
  ].join("|"),
  "gu",
);

function inline(text, verbatim) {
  const nodes = [];
  let end = 0;
  for (const found of text.matchAll(SPAN)) {
    const [whole, code, bracket, bold, italic, strike, url] = found;
    nodes.push(withEmoji(unescapeText(text.slice(end, found.index))));
    end = found.index + whole.length;
    // A short word, an id for instance, is not broken at its hyphen.
    if (code) nodes.push(el("code", code.length <= 20 ? { class: "word" } : {}, unescapeText(code)));
    else if (bracket) nodes.push(reference(bracket));
    else if (bold) nodes.push(el("strong", {}, ...inline(bold, verbatim)));
    else if (italic) nodes.push(el("em", {}, ...inline(italic, verbatim)));
    else if (strike) nodes.push(el("s", {}, ...inline(strike, verbatim)));
    else nodes.push(verbatim ? unescapeText(url) : link(unescapeText(url), unescapeText(url)));
  }
  nodes.push(withEmoji(unescapeText(text.slice(end))));
  return nodes.filter((node) => node !== "");
}

/** Draw what stands in angle brackets: a mention, a date, a link. */
function reference(inside) {
  const [target, label] = splitOnce(inside, "|");
  const mention = (text) => el("span", { class: "mention" }, text);
  if (target.startsWith("@")) return mention(`@${person(target.slice(1))?.name ?? label ?? target.slice(1)}`);
  if (target.startsWith("#")) return mention(`#${channel(target.slice(1))?.name ?? label ?? target.slice(1)}`);
  if (target.startsWith("!subteam^")) {
    const group = state.groups.find((each) => each.id === target.slice(9));
    return mention(`@${group?.handle ?? (label ?? target.slice(9)).replace(/^@/, "")}`);
  }
  if (target.startsWith("!date^")) return date(target, label);
  if (target.startsWith("!")) return mention(`@${target.slice(1)}`);
  return link(unescapeText(target), unescapeText(label ?? target));
}

function splitOnce(text, separator) {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

function link(target, label) {
  if (!/^(https?|mailto):/i.test(target)) return label;
  return el("a", { href: target, target: "_blank", rel: "noopener noreferrer", onclick: stayHere }, label);
}

/** Follow a link to a message of this workspace on this page: it needs no other tab. */
function stayHere(event) {
  const target = new URL(event.currentTarget.href);
  if (target.origin !== location.origin || !target.searchParams.get("channel")) return;
  event.preventDefault();
  goTo(target.searchParams.get("channel"));
  view.pointed = target.searchParams.get("message") ?? "";
  view.thread = target.searchParams.get("thread") ?? "";
  draw();
}

const DATES = {
  date_num: { year: "numeric", month: "2-digit", day: "2-digit" },
  date: { year: "numeric", month: "long", day: "numeric" },
  date_short: { year: "numeric", month: "short", day: "numeric" },
  date_long: { weekday: "long", year: "numeric", month: "long", day: "numeric" },
  time: { hour: "2-digit", minute: "2-digit" },
  time_secs: { hour: "2-digit", minute: "2-digit", second: "2-digit" },
};

function date(target, fallback) {
  const [, seconds, format, url] = target.split("^");
  const moment = new Date(Number(seconds) * 1000);
  if (Number.isNaN(moment.getTime()) || !format) return unescapeText(fallback ?? target);
  const text = format.replace(/\{(\w+)\}/g, (whole, token) => {
    const name = token.replace(/_pretty$/, "");
    if (token === "ago") return ago(moment);
    return DATES[name] ? new Intl.DateTimeFormat(undefined, DATES[name]).format(moment) : whole;
  });
  const time = el("time", { datetime: moment.toISOString(), title: moment.toLocaleString() }, unescapeText(text));
  return url ? link(url, time) : time;
}

function ago(moment) {
  const minutes = Math.round((moment - Date.now()) / 60000);
  const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
  if (Math.abs(minutes) < 60) return relative.format(minutes, "minute");
  return relative.format(Math.round(minutes / 60), "hour");
}

const textObject = (object) =>
  object.type === "mrkdwn"
    ? mrkdwn(object.text, object.verbatim)
    : el("div", { class: "text" }, object.emoji === false ? object.text : withEmoji(object.text));

const plainText = (object) => (object.emoji === false ? object.text : withEmoji(object.text));

/* --- Block Kit ------------------------------------------------------------------------------------ */

/** Draw blocks.  `place` is where they stand: a message (channel and ts) or a view (view_id). */
function drawBlocks(blocks, place) {
  const root = el("div", { class: "blocks" });
  root.append(...blocks.map((block) => (BLOCKS[block.type] ?? unknownBlock)(block, place, root)));
  return root;
}

const BLOCKS = {
  header: (block) => el("h3", { class: "block-header" }, plainText(block.text)),
  divider: () => el("hr", { class: "block-divider" }),
  section: (block, place, root) =>
    el(
      "div",
      { class: "block-section" },
      el(
        "div",
        { class: "said" },
        block.text ? textObject(block.text) : null,
        block.fields ? el("div", { class: "fields" }, ...block.fields.map(textObject)) : null,
      ),
      block.accessory ? drawElement(block, block.accessory, place, root) : null,
    ),
  context: (block) =>
    el(
      "div",
      { class: "block-context" },
      ...block.elements.map((each) => (each.type === "image" ? picture(each) : textObject(each))),
    ),
  actions: (block, place, root) =>
    el("div", { class: "block-actions" }, ...block.elements.map((each) => drawElement(block, each, place, root))),
  image: (block) => picture(block),
  markdown: (block) => el("div", { class: "text" }, block.text),
  input: (block, place, root) => drawInput(block, place, root),
};

const unknownBlock = (block) => el("div", { class: "picture" }, `A block of type ${block.type}`);
const picture = (image) => el("span", { class: "picture" }, `Picture: ${image.alt_text}`);

function drawElement(block, element, place, root) {
  if (element.type === "image") return picture(element);
  if (element.type === "button") return drawButton(block, element, place, root);
  const field = drawField(block, element);
  field.classList.add("inline");
  const label = element.placeholder ? plainText(element.placeholder) : element.type.replaceAll("_", " ");
  field.setAttribute("aria-label", label);
  field.addEventListener("change", () => press(block, element, place, root, field, chosenIn(field)));
  return field;
}

function drawButton(block, element, place, root) {
  const properties = {
    class: `button ${element.style ?? ""}`.trim(),
    "aria-label": element.accessibility_label,
    onclick: (event) => press(block, element, place, root, event.currentTarget),
  };
  if (element.url) {
    const follow = (event) => (properties.onclick(event), stayHere(event));
    return el("a", { ...properties, onclick: follow, href: element.url, target: "_blank", rel: "noopener noreferrer" }, plainText(element.text));
  }
  return el("button", { ...properties, type: "button" }, plainText(element.text));
}

async function press(block, element, place, root, control, chosen) {
  if (control.getAttribute("aria-busy") === "true") return;
  if (element.confirm && !(await askAgain(element.confirm))) return;
  control.setAttribute("aria-busy", "true");
  const given = { ...place, block_id: block.block_id, action_id: element.action_id, chosen, inputs: inputsIn(root) };
  await act("press", given);
  control.removeAttribute("aria-busy");
}

/** Draw the control of an input or choice.  What it holds is read back by `chosenIn`. */
function drawField(block, element) {
  const common = { class: "field", "data-block": block.block_id, "data-action": element.action_id };
  const hint = element.placeholder ? plainText(element.placeholder) : undefined;
  switch (element.type) {
    case "static_select":
    case "overflow":
      return select(common, hint ?? (element.type === "overflow" ? "More…" : "Choose…"), optionsOf(element), element.initial_option?.value);
    case "users_select":
      return select(common, hint ?? "Choose a person…", state.people.map((each) => [each.id, each.name]), element.initial_user);
    case "channels_select":
    case "conversations_select":
      return select(common, hint ?? "Choose a channel…", state.channels.map((each) => [each.id, each.name]), element.initial_channel ?? element.initial_conversation);
    case "checkboxes":
    case "multi_static_select":
      return choices(common, element, "checkbox", (element.initial_options ?? []).map((each) => each.value));
    case "radio_buttons":
      return choices(common, element, "radio", element.initial_option ? [element.initial_option.value] : []);
    default:
      return written(common, element, hint);
  }
}

function optionsOf(element) {
  const groups = element.option_groups?.flatMap((group) => group.options) ?? element.options ?? [];
  return groups.map((option) => [option.value, plainText(option.text)]);
}

function select(common, hint, options, chosen) {
  const node = el("select", common, el("option", { value: "" }, hint));
  node.append(...options.map(([value, label]) => el("option", { value, selected: value === chosen }, label)));
  return node;
}

function choices(common, element, type, chosen) {
  const name = `${common["data-block"]}-${element.action_id}`;
  const draw = (option) =>
    el(
      "label",
      { class: "choice" },
      el("input", { type, name, value: option.value, checked: chosen.includes(option.value) }),
      el("span", {}, textObject(option.text), option.description ? el("small", {}, textObject(option.description)) : null),
    );
  const all = element.option_groups?.flatMap((group) => group.options) ?? element.options;
  return el("div", { ...common, class: "", role: type === "radio" ? "radiogroup" : "group" }, ...all.map(draw));
}

const INPUT_TYPES = { datepicker: "date", timepicker: "time", number_input: "number", email_text_input: "email", url_text_input: "url" };

function written(common, element, hint) {
  const properties = { ...common, placeholder: hint, maxlength: element.max_length ?? 3000, autofocus: element.focus_on_load };
  const initial = element.initial_value ?? element.initial_date ?? element.initial_time ?? "";
  if (element.multiline) return el("textarea", { ...properties, rows: 4 }, initial);
  return el("input", { ...properties, type: INPUT_TYPES[element.type] ?? "text", step: element.is_decimal_allowed ? "any" : undefined, value: initial });
}

function chosenIn(field) {
  if ("value" in field) return field.value;
  const checked = [...field.querySelectorAll("input:checked")].map((each) => each.value);
  return field.getAttribute("role") === "radiogroup" ? (checked[0] ?? "") : checked;
}

/** Return what all inputs below `root` hold, by block id and action id. */
function inputsIn(root) {
  const held = {};
  for (const field of root.querySelectorAll("[data-action]")) {
    (held[field.dataset.block] ??= {})[field.dataset.action] = chosenIn(field);
  }
  return held;
}

function drawInput(block, place, root) {
  const field = drawField(block, block.element);
  const id = `field-${block.block_id}`;
  field.id = id;
  field.setAttribute("aria-describedby", `${id}-error`);
  if (block.dispatch_action) {
    field.addEventListener("change", () => press(block, block.element, place, root, field, chosenIn(field)));
  }
  const label = [plainText(block.label), block.optional ? el("span", { class: "optional" }, " (optional)") : null];
  const isGroup = field.hasAttribute("role");
  return el(
    isGroup ? "fieldset" : "div",
    { class: "block-input" },
    isGroup ? el("legend", {}, ...label.filter(Boolean)) : el("label", { for: id }, ...label.filter(Boolean)),
    field,
    block.hint ? el("span", { class: "hint" }, plainText(block.hint)) : null,
    el("span", { class: "error", id: `${id}-error`, "data-error": block.block_id, role: "alert" }),
  );
}

/* --- messages ------------------------------------------------------------------------------------- */

const timeOf = (ts) => new Date(Number(ts) * 1000);
const clockTime = (moment) => new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" }).format(moment);

function avatar(author, size = "") {
  const hue = [...author.name].reduce((sum, letter) => sum + letter.codePointAt(0), 0) % 5;
  return el("span", { class: `avatar ${size} ${author.is_bot ? "app" : `hue-${hue}`}`, "aria-hidden": "true" }, author.real_name.slice(0, 1));
}

function drawMessage(message, inThread) {
  const author = person(message.user) ?? { name: message.user, real_name: message.user };
  const place = { channel: message.channel ?? view.channel, ts: message.ts };
  const body = message.blocks?.length ? drawBlocks(message.blocks, place) : mrkdwn(message.text ?? "");
  return el(
    "article",
    { class: `message ${message.is_ephemeral ? "private" : ""} ${message.ts === view.pointed ? "pointed" : ""}`, tabindex: "-1", "data-ts": message.ts },
    message.is_ephemeral ? onlyYou(message) : null,
    avatar(author),
    el("div", {}, byline(author, message), body, ...filesOf(message), reactionsOf(message), inThread ? null : repliesOf(message)),
    tools(message, inThread),
  );
}

function byline(author, message) {
  const moment = timeOf(message.ts);
  return el(
    "div",
    { class: "byline" },
    el("span", { class: "name" }, author.real_name),
    author.is_bot ? el("span", { class: "tag" }, "app") : null,
    el("time", { datetime: moment.toISOString(), title: moment.toLocaleString() }, clockTime(moment)),
    message.edited ? el("span", { class: "edited" }, "(edited)") : null,
  );
}

const onlyYou = (message) =>
  el(
    "div",
    { class: "only-you" },
    "Only visible to you",
    el("button", { class: "quiet", type: "button", onclick: () => act("dismiss", { ts: message.ts }) }, "Dismiss"),
  );

const filesOf = (message) =>
  (message.files ?? []).map((file) =>
    el("a", { class: "file", href: `/files/${encodeURIComponent(file.id)}`, download: true }, file.title, el("small", {}, `${file.size} bytes`)),
  );

function reactionsOf(message) {
  if (!message.reactions?.length) return null;
  const draw = (reaction) => {
    const people = reaction.users.map((id) => person(id)?.name ?? id).join(", ");
    return el("span", { class: "reaction", title: people }, `${EMOJI[reaction.name] ?? `:${reaction.name}:`} ${reaction.count}`);
  };
  return el("div", { class: "reactions" }, ...message.reactions.map(draw));
}

function repliesOf(message) {
  if (!message.reply_count) return null;
  const label = message.reply_count === 1 ? "1 reply" : `${message.reply_count} replies`;
  return el(
    "button",
    { class: "quiet replies", type: "button", onclick: () => openThread(message.ts) },
    label,
    el("span", { class: "faint" }, `last at ${clockTime(timeOf(message.latest_reply))}`),
  );
}

function tools(message, inThread) {
  const reply = el("button", { class: "quiet", type: "button", onclick: () => openThread(message.ts) }, "Reply");
  const json = el("button", { class: "quiet", type: "button", "aria-label": "Show JSON", onclick: () => showSource(message) }, "JSON");
  const shortcuts = message.is_ephemeral ? [] : Object.entries(state.shortcuts).map((each) => shortcutButton(message, ...each));
  return el("div", { class: "tools" }, inThread || message.is_ephemeral || view.channel === "home" ? null : reply, ...shortcuts, json);
}

function shortcutButton(message, callbackId, name) {
  const choose = () => act("shortcut", { callback_id: callbackId, channel: view.channel, ts: message.ts });
  return el("button", { class: "quiet", type: "button", onclick: choose }, name);
}

function openThread(ts) {
  view.thread = ts;
  draw();
  byId("reply-draft").focus();
}

/** Put messages into a list; those that have not changed keep their elements, and with them focus and input. */
function fill(list, messages, inThread) {
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
  const old = new Map([...list.children].map((node) => [node.dataset.key, node]));
  let day = "";
  const nodes = messages.flatMap((message) => {
    const today = timeOf(message.ts).toLocaleDateString(undefined, { weekday: "long", day: "numeric", month: "long" });
    const separator = today === day || inThread ? [] : [keep(old, `day-${today}`, "", () => el("div", { class: "day" }, today))];
    day = today;
    const key = `${message.is_ephemeral ? "own-" : ""}${message.ts}`;
    return [...separator, keep(old, key, JSON.stringify(message) + view.person + (message.ts === view.pointed), () => drawMessage(message, inThread))];
  });
  if (!nodes.length) nodes.push(keep(old, "nothing", "", () => el("p", { class: "nothing" }, "Nothing here yet.")));
  const focused = nodes.some((node) => node.contains(document.activeElement)) ? null : document.activeElement?.closest?.(".message");
  list.replaceChildren(...nodes);
  if (focused && !focused.isConnected) list.querySelector(`[data-ts="${focused.dataset.ts}"]`)?.focus({ preventScroll: true });
  if (atEnd) list.scrollTop = list.scrollHeight;
}

function keep(old, key, content, make) {
  const before = old.get(key);
  if (before && before.kept === content) return before;
  const node = make();
  node.dataset.key = key;
  node.kept = content;
  return node;
}

/* --- dialogs -------------------------------------------------------------------------------------- */

function askAgain(confirm) {
  const dialog = byId("confirm");
  return new Promise((resolve) => {
    const close = (answer) => () => (dialog.close(), resolve(answer));
    dialog.oncancel = () => resolve(false);
    dialog.replaceChildren(
      el(
        "div",
        { class: "dialog-body" },
        el("header", {}, el("h2", { id: "confirm-title" }, plainText(confirm.title))),
        el("div", { class: "content" }, textObject(confirm.text)),
        el(
          "footer",
          {},
          el("button", { class: "button", type: "button", onclick: close(false), autofocus: true }, plainText(confirm.deny)),
          el("button", { class: `button ${confirm.style ?? "primary"}`, type: "button", onclick: close(true) }, plainText(confirm.confirm)),
        ),
      ),
    );
    dialog.showModal();
  });
}

function showSource(message) {
  const dialog = byId("source");
  const text = JSON.stringify(message.blocks?.length ? { text: message.text, blocks: message.blocks } : message, null, 2);
  const close = () => dialog.close();
  dialog.replaceChildren(
    el(
      "div",
      { class: "dialog-body" },
      el(
        "header",
        {},
        el("h2", { id: "source-title" }, "What the app sent"),
        el("button", { class: "quiet", type: "button", onclick: () => navigator.clipboard?.writeText(text) }, "Copy"),
        el("button", { class: "quiet", type: "button", onclick: close, autofocus: true }, "Close"),
      ),
      el("div", { class: "content" }, el("pre", { class: "source" }, text)),
    ),
  );
  dialog.showModal();
}

/** Show the topmost modal.  It is drawn anew only when the app changed it, so that nobody loses what they typed. */
function drawModal() {
  const dialog = byId("modal");
  const modal = state.modals.at(-1);
  if (!modal) {
    if (dialog.open) dialog.close();
    dialog.kept = "";
    return;
  }
  if (dialog.kept !== modal.id + modal.hash) {
    dialog.kept = modal.id + modal.hash;
    dialog.replaceChildren(modalBody(modal));
    if (!dialog.open) dialog.showModal();
    dialog.querySelector("[autofocus], .field, .choice input, footer .button")?.focus();
  }
  showErrors(dialog, modal.errors);
}

function modalBody(modal) {
  const content = drawBlocks(modal.blocks, { view_id: modal.id });
  const close = () => act("close", { view_id: modal.id });
  const submit = async (event) => {
    event.preventDefault();
    const button = event.target.querySelector("[type=submit]");
    if (!button || button.getAttribute("aria-busy") === "true") return;
    button.setAttribute("aria-busy", "true");
    await act("submit", { view_id: modal.id, inputs: inputsIn(content) });
    button.removeAttribute("aria-busy");
  };
  byId("modal").oncancel = (event) => (event.preventDefault(), close());
  return el(
    "form",
    { class: "dialog-body", onsubmit: submit, novalidate: true },
    el("header", {}, el("h2", { id: "modal-title" }, plainText(modal.title)), el("button", { class: "quiet", type: "button", onclick: () => showSource(modal) }, "Show JSON")),
    el("div", { class: "content" }, content),
    el(
      "footer",
      {},
      el("button", { class: "button", type: "button", onclick: close }, modal.close ? plainText(modal.close) : "Cancel"),
      modal.submit ? el("button", { class: "button primary", type: "submit" }, plainText(modal.submit)) : null,
    ),
  );
}

function showErrors(dialog, errors) {
  let first = null;
  for (const slot of dialog.querySelectorAll("[data-error]")) {
    const text = errors[slot.dataset.error] ?? "";
    if (slot.textContent !== text) slot.textContent = text;
    const field = dialog.querySelector(`[aria-describedby="${CSS.escape(slot.id)}"]`);
    field?.setAttribute("aria-invalid", text ? "true" : "false");
    if (text) first ??= field;
  }
  const shown = JSON.stringify(errors);
  if (first && dialog.errorsShown !== shown) first.focus();
  dialog.errorsShown = shown;
}

/* --- notices, places, people ---------------------------------------------------------------------- */

function showNotice(notice) {
  const dismiss = () => (notice.id ? act("dismiss", { notice: notice.id }) : node.remove());
  const node = el(
    "div",
    { class: "notice", "data-notice": notice.id },
    el("p", {}, notice.text),
    el("button", { class: "quiet", type: "button", onclick: dismiss }, "Dismiss"),
  );
  byId("notices").append(node);
}

function drawNotices() {
  const latest = state.notices.slice(-3);
  const shown = new Set(latest.map((notice) => String(notice.id)));
  for (const node of byId("notices").querySelectorAll("[data-notice]")) {
    if (!shown.delete(node.dataset.notice)) node.remove();
  }
  latest.filter((notice) => shown.has(String(notice.id))).forEach(showNotice);
}

function showConnection(connected, text) {
  const node = byId("connection");
  node.classList.toggle("on", connected);
  if (node.textContent !== text) node.textContent = text;
}

function goTo(place) {
  view.channel = place;
  view.thread = "";
  view.pointed = "";
  toggleMenu(false);
  if (place === "home") act("home", {});
  draw();
  byId("messages").scrollTop = byId("messages").scrollHeight;
}

function toggleMenu(open) {
  byId("frame").classList.toggle("with-menu", open);
  byId("menu").setAttribute("aria-expanded", String(open));
}

function placeButton(place, sign, label) {
  const latest = state.messages[place]?.at(-1)?.ts ?? "";
  if (place === view.channel) view.seen[place] = latest;
  const unread = latest > (view.seen[place] ?? "");
  return el(
    "li",
    {},
    el(
      "button",
      { type: "button", class: unread ? "unread" : "", "aria-current": place === view.channel ? "page" : null, onclick: () => goTo(place) },
      el("span", { class: "sign", "aria-hidden": "true" }, sign),
      el("span", {}, label, unread ? el("span", { class: "unseen" }, " (new)") : null),
    ),
  );
}

const groupsOf = (each) =>
  each.deleted ? "deactivated" : each.groups.length ? `in ${each.groups.join(", ")}` : each.is_guest ? "a guest" : each.is_stranger ? "of another workspace" : each.is_bot ? "a bot" : "in no group";

function personButton(each) {
  return el(
    "li",
    {},
    el(
      "button",
      { type: "button", "aria-pressed": String(each.id === state.me), onclick: () => (toggleMenu(false), actAs(each.name)) },
      avatar(each, "small"),
      el("span", {}, each.name, el("span", { class: "hint" }, groupsOf(each))),
    ),
  );
}

/* --- faults --------------------------------------------------------------------------------------- */

const FAULTS = [
  ["Refuse the next 3 calls", "429: the bot has to wait", { do: "fail", method: "*", times: 3, status: 429, retry_after: 2 }],
  ["Fail at the next 3 calls", "503, as in a bad hour of Slack", { do: "fail", method: "*", times: 3, status: 503 }],
  ["Delay the next 3 calls", "4 seconds each", { do: "slow", method: "*", times: 3, seconds: 4 }],
  ["Lose the next press", "it never reaches the bot", { do: "lose" }],
  ["Double the next press", "it must count once", { do: "deliver_twice" }],
  ["Cut the connection", "as a lost network does", { do: "cut" }],
  ["Recycle the connection", "as Slack does every few hours", { do: "disconnect" }],
  ["Go away", "until “Mend everything”", { do: "away" }],
];

async function breakSlack(fault) {
  const answer = await fetch("/practice/faults", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(fault),
  }).then((response) => response.json(), () => ({ ok: false, error: "the workspace does not answer" }));
  if (!answer.ok) showNotice({ text: `That did not work: ${answer.error}.` });
}

function showFaults() {
  const dialog = byId("faults");
  const close = () => dialog.close();
  const choose = (fault) => () => (close(), breakSlack(fault));
  dialog.replaceChildren(
    el(
      "div",
      { class: "dialog-body" },
      el("header", {}, el("h2", { id: "faults-dialog-title" }, "Break Slack"), el("button", { class: "quiet", type: "button", onclick: close }, "Close")),
      el(
        "div",
        { class: "content" },
        el("p", { class: "faint" }, "An answer must neither get lost nor count twice. Try to prove the opposite."),
        el(
          "ul",
          { class: "faults" },
          ...FAULTS.map(([label, hint, fault]) =>
            el("li", {}, el("button", { class: "button", type: "button", onclick: choose(fault) }, label), el("span", { class: "hint" }, hint)),
          ),
        ),
      ),
      el("footer", {}, el("button", { class: "button primary", type: "button", onclick: choose({ do: "clear" }) }, "Mend everything")),
    ),
  );
  dialog.showModal();
}

function drawFaults() {
  const names = { "*": "calls", deliveries: "deliveries", away: "away" };
  const waiting = Object.entries(state.faults).map(([name, count]) => (name === "away" ? "away" : `${count} ${names[name] ?? name}`));
  const text = waiting.length ? `waiting: ${waiting.join(", ")}` : "nothing is broken";
  if (byId("faults-waiting").textContent !== text) byId("faults-waiting").textContent = text;
}

/** Replace a list only if it would look different, so that the keyboard keeps its place. */
function fillIfChanged(list, make, ...content) {
  const key = JSON.stringify(content);
  if (list.kept === key) return;
  list.kept = key;
  const focused = [...list.querySelectorAll("button")].indexOf(document.activeElement);
  list.replaceChildren(...make());
  if (focused >= 0) list.querySelectorAll("button")[focused]?.focus();
}

function drawSidebar() {
  const latest = Object.fromEntries(Object.entries(state.messages).map(([id, all]) => [id, all.at(-1)?.ts]));
  const direct = state.channels.find((each) => each.is_direct);
  const bot = state.people.find((each) => each.is_app);
  const people = state.people.filter((each) => !each.is_app);
  const open = state.channels.filter((each) => !each.is_direct);
  fillIfChanged(byId("channels"), () => open.map((each) => placeButton(each.id, each.is_private ? "⌂" : "#", each.name)), open, latest, view.channel);
  fillIfChanged(
    byId("apps"),
    () => [direct ? placeButton(direct.id, "@", bot.real_name) : "", placeButton("home", "⌘", `${bot.real_name} home`)].filter(Boolean),
    direct, latest, view.channel,
  );
  fillIfChanged(byId("people"), () => people.map(personButton), people, state.me);
  fillIfChanged(
    byId("act-as"),
    () => people.map((each) => el("option", { value: each.name, selected: each.id === state.me }, `${each.name} · ${groupsOf(each).replace(/^in /, "")}`)),
    people, state.me,
  );
}

/* --- drawing it all ------------------------------------------------------------------------------- */

function draw() {
  if (!state) return;
  if (view.channel !== "home" && !channel(view.channel)) view.channel = state.channels[0]?.id ?? "home";
  const me = person(state.me);
  drawSidebar();
  drawFaults();
  showConnection(state.connected, state.connected ? "Bot connected" : "Bot not connected");
  drawPlace(me);
  drawThread(me);
  drawModal();
  drawNotices();
}

function drawPlace(me) {
  const here = channel(view.channel);
  const title = here ? (here.is_direct ? "Paramedic" : `# ${here.name}`) : "Paramedic home";
  byId("place").textContent = title;
  document.title = `${title} · Practice workspace`;
  byId("composer").hidden = !here;
  const list = byId("messages");
  if (!here) {
    const home = state.home ? drawBlocks(state.home.blocks, { view_id: state.home.id }) : el("p", { class: "nothing" }, "The app has not published a home tab.");
    list.replaceChildren(el("div", { class: "home" }, home));
    return;
  }
  byId("draft").placeholder = `Write as ${me.name}, or type /`;
  const own = state.ephemerals.filter((each) => each.channel === view.channel && !each.thread_ts);
  const all = state.messages[view.channel].filter((message) => !isReply(message));
  fill(list, [...all, ...own].sort((a, b) => (a.ts < b.ts ? -1 : 1)), false);
  const pointed = view.pointed && list.querySelector(".pointed");
  if (pointed) pointed.scrollIntoView({ block: "center" });
  view.pointed = "";
}

function drawThread(me) {
  const parent = state.messages[view.channel]?.find((message) => message.ts === view.thread);
  byId("thread").hidden = !parent;
  byId("frame").classList.toggle("with-thread", Boolean(parent));
  if (!parent) return;
  const replies = state.messages[view.channel].filter((message) => message.thread_ts === parent.ts && isReply(message));
  const own = state.ephemerals.filter((each) => each.thread_ts === parent.ts);
  byId("reply-draft").placeholder = `Reply as ${me.name}`;
  fill(byId("replies"), [parent, ...[...replies, ...own].sort((a, b) => (a.ts < b.ts ? -1 : 1))], true);
}

/* --- typing --------------------------------------------------------------------------------------- */

function setUpComposer(form, draft, send) {
  const grow = () => {
    draft.style.height = "auto";
    draft.style.height = `${Math.min(draft.scrollHeight, 140)}px`;
  };
  draft.addEventListener("input", () => (grow(), suggest(draft)));
  draft.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = draft.value.trim();
    if (!text) return;
    draft.value = "";
    grow();
    suggest(draft);
    await send(text);
  });
}

function suggest(draft) {
  const list = byId("suggestions");
  const typed = draft.value.split(" ")[0];
  const fitting = draft.id === "draft" && draft.value.startsWith("/") ? Object.entries(state.commands).filter(([name]) => name.startsWith(typed)) : [];
  list.hidden = !fitting.length;
  const take = (name) => () => ((draft.value = `${name} `), (list.hidden = true), draft.focus());
  list.replaceChildren(
    ...fitting.map(([name, hint]) => el("li", {}, el("button", { type: "button", onclick: take(name) }, el("strong", {}, name), el("span", { class: "hint" }, hint)))),
  );
}

const send = (text) =>
  text.startsWith("/") ? act("command", { channel: view.channel, text }) : act("say", { channel: view.channel, text });

function reply(text) {
  if (text.startsWith("/")) return showNotice({ text: "Slash commands do not work in threads." });
  return act("say", { channel: view.channel, text, thread_ts: view.thread });
}

setUpComposer(byId("composer"), byId("draft"), send);
setUpComposer(byId("reply-composer"), byId("reply-draft"), reply);
byId("menu").addEventListener("click", () => toggleMenu(!byId("frame").classList.contains("with-menu")));
byId("frame").addEventListener("click", (event) => event.target === byId("frame") && toggleMenu(false));
byId("act-as").addEventListener("change", (event) => actAs(event.target.value));
byId("open-faults").addEventListener("click", () => (toggleMenu(false), showFaults()));
byId("close-thread").addEventListener("click", () => ((view.thread = ""), draw(), byId("draft").focus()));
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
  toggleMenu(false);
  if (view.thread) byId("close-thread").click();
});
connect();
