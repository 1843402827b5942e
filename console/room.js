/*
 * The room: puts the link, the paper, the pen and the people together, and shows what they say.
 *
 * What goes over the wire is JSON of our own in `data`. In order, kept by the room:
 *   {kind: "stroke", by, n, stroke, piece, colour, pen, points, last}
 *   {kind: "message", by, n, name, colour, text, at}
 *   {kind: "clear", by, n, name}
 * and on the side, for whoever is there:
 *   {kind: "hello", by, name, colour, fresh}
 *   {kind: "pointer", by, name, colour, x, y, ink?: {stroke, piece, colour, pen, points}}
 * All of it comes from strangers: it is checked field by field, and shown as text only.
 */

import { Chat } from "./chat.js";
import { Link } from "./link.js";
import { Paper, PENS, WIDTH, HEIGHT, unpackPoints } from "./paper.js";
import { Pen } from "./pen.js";
import { People } from "./people.js";
import { COLOURS, cleanName, cleanRoom, isColour, makeMe, rememberMe, roomOfUrl } from "./self.js";

const PEN_NAMES = ["Thin pen", "Medium pen", "Thick pen"];
const HELLO_MS = 15000;
const TEXT_MAX = 500;
const SEEN_MAX = 12000;
const PULSE_MS = 400;

const $ = (id) => document.getElementById(id);

const me = makeMe();
const room = roomOfUrl();
const seen = new Set();
const shown = { slot: null, deaths: null, connects: 0 };
let palette = [];

function readPalette() {
	const style = getComputedStyle(document.documentElement);

	palette = COLOURS.map((_, i) => style.getPropertyValue(`--ink-${i}`).trim());
}

readPalette();
const chat = new Chat($("log"), $("unread"), $("toasts"));
const paper = new Paper($("base"), $("live"), () => palette);
const people = new People($("members"), $("pointers"), [$("count"), $("count-tab")]);
const link = new Link({ room, token: new URLSearchParams(location.search).get("token"),
	who: () => ({ user: me.by, name: me.name }),
	on: { event: onEvent, whisper: onWhisper, joined: onJoined, left: onLeft, state: onState,
		server: onServer, notice: onNotice, ready: onReady } });
const pen = new Pen($("live"), paper, () => ({ by: me.by, colour: me.colour, pen: me.pen }),
	{ piece: sendPiece, whisper: sendPointer, cursor: showCursor,
		say: (text) => { $("paper-say").textContent = text; } });

/* What comes in order. */

function isNews(data) {
	const key = `${data.by}:${data.n}`;

	if (seen.has(key))
		return false;
	seen.add(key);
	if (seen.size > SEEN_MAX)
		seen.delete(seen.values().next().value);
	return true;
}

function onEvent(data, seq, ts, isReplay) {
	showSeq();
	if (data === null || typeof data !== "object" || !isToken(data.by) || !Number.isInteger(data.n))
		return;
	if (!isNews(data))
		return;
	if (ts === null && !isReplay)
		pulse();
	people.see(data.by, null);
	if (data.kind === "stroke")
		onStroke(data, seq);
	else if (data.kind === "message")
		onMessage(data, ts);
	else if (data.kind === "clear")
		onClear(data);
}

function isToken(value) {
	return typeof value === "string" && /^[0-9a-f]{16}$/.test(value);
}

function readPiece(by, data, index) {
	const points = unpackPoints(data.points);

	if (points === null || !isColour(data.colour) || !Number.isInteger(data.stroke)
	    || !Number.isInteger(index) || !Number.isInteger(data.pen) || data.pen < 0
	    || data.pen >= PENS.length)
		return null;
	return { by, stroke: data.stroke, index, colour: data.colour, pen: data.pen, points };
}

function onStroke(data, seq) {
	const piece = readPiece(data.by, data, data.piece);

	if (piece === null)
		return;
	if (data.by === me.by && paper.confirm(me.by, piece.stroke, piece.index, seq))
		return;
	paper.add({ ...piece, isLast: data.last === true, seq });
	hideHint();
}

function onMessage(data, ts) {
	const name = cleanName(data.name);

	if (typeof data.text !== "string" || name === "" || !isColour(data.colour))
		return;
	if (data.by === me.by && chat.confirm(data.n))
		return;
	chat.message({ name, colour: data.colour, text: data.text.slice(0, TEXT_MAX),
		at: ts ?? (Number.isFinite(data.at) ? Math.min(data.at, Date.now()) : Date.now()) });
}

function onClear(data) {
	paper.clear();
	if (link.loaded)
		chat.note(`${data.by === me.by ? "You" : cleanName(data.name) || "Somebody"} cleared the paper.`);
}

/* What comes on the side. */

function onWhisper(data) {
	if (data === null || typeof data !== "object" || !isToken(data.by) || data.by === me.by)
		return;
	const name = cleanName(data.name);

	if (name === "" || !isColour(data.colour))
		return;
	const isNew = people.see(data.by, { name, colour: data.colour });

	if (isNew || data.fresh === true)
		helloSoon();
	if (data.kind !== "pointer" || !inside(data.x, WIDTH) || !inside(data.y, HEIGHT))
		return;
	people.move(data.by, data.x, data.y);
	if (data.ink !== null && typeof data.ink === "object") {
		const piece = readPiece(data.by, data.ink, data.ink.piece);

		if (piece !== null)
			paper.preview({ ...piece, isLast: true });
	}
}

function inside(value, most) {
	return Number.isFinite(value) && value >= 0 && value <= most;
}

function onJoined(user) {
	if (user !== me.by)
		helloSoon();
}

function onLeft(user) {
	people.leave(user);
	paper.forget(user);
}

function hello(fresh) {
	link.whisper({ kind: "hello", name: me.name, colour: me.colour, fresh });
}

/* One answer to however many newcomers, spread out so that a full room does not answer at once. */
let helloTimer = 0;
function helloSoon() {
	if (helloTimer !== 0)
		return;
	helloTimer = setTimeout(() => {
		helloTimer = 0;
		hello(false);
	}, 100 + Math.random() * 700);
}

/* What goes out. */

function sendPiece(piece, packed) {
	const data = link.publish({ kind: "stroke", stroke: piece.stroke, piece: piece.index,
		colour: piece.colour, pen: piece.pen, points: packed, last: piece.isLast });

	if (data === null) {
		paper.forget(me.by);
		chat.toast("Too much waits to be sent; this stroke is not kept.");
		return;
	}
	paper.add(piece);
	hideHint();
}

function sendPointer(x, y, ink) {
	link.whisper({ kind: "pointer", name: me.name, colour: me.colour, x, y, ink: ink ?? undefined });
}

function sendMessage(text) {
	const data = link.publish({ kind: "message", name: me.name, colour: me.colour, text,
		at: Date.now() });

	if (data === null) {
		chat.toast("Too much waits to be sent; try again when the room is back.");
		return false;
	}
	chat.message({ name: me.name, colour: me.colour, text, at: data.at, pending: data.n });
	return true;
}

/* The state of the link. */

const STATES = { connecting: "connecting", live: "live", waiting: "reconnecting" };

function onState(state) {
	$("state").dataset.state = state;
	$("state-text").textContent = STATES[state];
	if (state === "live")
		hello(true);
	else
		$("g-rtt").textContent = "–";
}

function onReady() {
	chat.ready();
	showSeq();
}

let seqFrame = 0;
function showSeq() {
	if (seqFrame !== 0)
		return;
	seqFrame = requestAnimationFrame(() => {
		seqFrame = 0;
		$("g-seq").textContent = String(link.seq);
	});
}

function onServer(m) {
	const ms = link.rtt;

	$("g-slot").textContent = String(m.slot);
	$("g-deaths").textContent = String(m.deaths);
	$("g-rtt").textContent = ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
	if (typeof m.version === "string")
		$("g-slot").parentElement.title = `The slot that serves you; plenum ${m.version.slice(0, 40)}`;
	if (m.slot === shown.slot && m.deaths > shown.deaths)
		tellDeaths(m.slot, m.deaths - shown.deaths);
	shown.slot = m.slot;
	shown.deaths = m.deaths;
	shown.connects = link.counters.connects;
}

function tellDeaths(slot, n) {
	const held = shown.connects === link.counters.connects;
	const what = n === 1 ? `The worker of slot ${slot} died and was replaced`
		: `The worker of slot ${slot} died ${n} times and was replaced`;

	chat.toast(held ? `${what}; nobody noticed.` : `${what}; this page reconnected.`);
	$("g-deaths").classList.remove("fresh");
	void $("g-deaths").offsetWidth;
	$("g-deaths").classList.add("fresh");
}

function onNotice(kind, details) {
	if (kind === "refused") {
		chat.toast(`The server refused something: ${String(details.text ?? details.code).slice(0, 120)}`);
		return;
	}
	if (details.renewed)
		chat.note("The room began a new history. What you see stays on your screen.");
	else if (details.lost === 0)
		chat.note("Some events came late; the history filled the gap.");
	if (details.lost > 0)
		chat.note(`${details.lost} ${details.lost === 1 ? "event is" : "events are"} no longer kept.`);
}

/* One pressure in every duct: each event lights all valves at once, whoever it came from. */
let pulsedAt = 0;
function pulse() {
	const now = performance.now();

	if (now - pulsedAt < PULSE_MS)
		return;
	pulsedAt = now;
	$("members").classList.toggle("beat-a", !$("members").classList.toggle("beat-b"));
}

/* Layout and controls. */

function layOut() {
	const floor = $("floor");
	const width = Math.floor(Math.min(floor.clientWidth, floor.clientHeight * WIDTH / HEIGHT));
	const height = Math.floor(width * HEIGHT / WIDTH);

	if (width < 40)
		return;
	$("paper").style.width = `${width}px`;
	$("paper").style.height = `${height}px`;
	paper.resize(width, height);
	people.resize(width, height);
}

function hideHint() {
	$("hint").hidden = true;
}

function showCursor(x, y, isDown) {
	const cursor = $("cursor");

	cursor.hidden = x === null;
	if (x === null)
		return;
	cursor.className = `ink-${me.colour}${isDown ? " down" : ""}`;
	cursor.style.left = `${x / WIDTH * 100}%`;
	cursor.style.top = `${y / HEIGHT * 100}%`;
}

function makeChoice(name, value, label, className, isOn) {
	const box = document.createElement("label");
	const input = document.createElement("input");
	const face = document.createElement("span");

	input.type = "radio";
	input.name = name;
	input.value = String(value);
	input.checked = isOn;
	input.setAttribute("aria-label", label);
	face.className = className;
	box.title = label;
	box.append(input, face);
	return box;
}

function setMe(change) {
	Object.assign(me, change);
	rememberMe(me);
	people.see(me.by, me, true);
	hello(false);
}

function setUpTools() {
	COLOURS.forEach((name, i) => {
		$("swatches").append(makeChoice("colour", i, name, `swatch ink-${i}`, i === me.colour));
	});
	PEN_NAMES.forEach((name, i) => {
		$("pens").append(makeChoice("pen", i, name, `nib nib-${i}`, i === me.pen));
	});
	$("swatches").addEventListener("change", (e) => setMe({ colour: Number(e.target.value) }));
	$("pens").addEventListener("change", (e) => { me.pen = Number(e.target.value); });
	$("clear").addEventListener("click", () => {
		$("clear-dialog").returnValue = "no";
		$("clear-dialog").showModal();
	});
	$("clear-dialog").addEventListener("close", () => {
		if ($("clear-dialog").returnValue === "yes")
			link.publish({ kind: "clear", name: me.name });
	});
}

function setUpName() {
	const input = $("name");
	const take = () => {
		const name = cleanName(input.value);

		if (name !== "" && name !== me.name)
			setMe({ name });
		input.value = me.name;
	};

	input.value = me.name;
	input.addEventListener("change", take);
	$("you").addEventListener("submit", (event) => {
		event.preventDefault();
		take();
		$("text").focus();
	});
}

function setUpChat() {
	$("say").addEventListener("submit", (event) => {
		const text = $("text").value.trim();

		event.preventDefault();
		if (text !== "" && sendMessage(text)) {
			$("text").value = "";
			chat.toEnd();
		}
	});
	for (const tab of document.querySelectorAll(".tabs button")) {
		tab.addEventListener("click", () => {
			document.body.dataset.tab = tab.dataset.for;
			for (const one of document.querySelectorAll(".tabs button"))
				one.setAttribute("aria-pressed", String(one === tab));
			if (tab.dataset.for === "chat")
				chat.showUnread(0);
			chat.toEnd();
		});
	}
}

function setUpRoom() {
	const dialog = $("room-dialog");

	$("room-name").textContent = room;
	document.title = `${room} · plenum`;
	$("room-button").addEventListener("click", () => {
		$("room-link").value = `${location.origin}${location.pathname}#${room}`;
		$("room-to").value = "";
		dialog.returnValue = "";
		dialog.showModal();
		$("room-to").focus();
	});
	$("room-copy").addEventListener("click", async () => {
		$("room-link").select();
		try {
			await navigator.clipboard.writeText($("room-link").value);
			chat.toast("Link copied.");
		} catch (error) {
			chat.toast("The link is selected; copy it with your keyboard.");
		}
	});
	$("room-cancel").addEventListener("click", () => dialog.close(""));
	dialog.addEventListener("close", () => {
		const name = cleanRoom($("room-to").value.trim());

		if (dialog.returnValue === "go" && name !== "")
			location.hash = name;
	});
	addEventListener("hashchange", () => {
		if (roomOfUrl() !== room)
			location.reload();
	});
}

/* Read-only figures, for tests and the curious. */
window.plenumRoom = Object.freeze({
	get by() { return me.by; },
	get room() { return room; },
	get state() { return link.state; },
	get epoch() { return link.epoch; },
	get seq() { return link.seq; },
	get strokes() { return paper.strokes; },
	get points() { return paper.points; },
	get previews() { return paper.previews.size; },
	get messages() { return chat.messages; },
	get members() { return people.members.size; },
	get pointers() { return people.pointers; },
	get waiting() { return link.outbox.size; },
	get slot() { return shown.slot; },
	get deaths() { return shown.deaths; },
	get rtt() { return link.rtt; },
	get counters() { return { ...link.counters }; },
});

setUpTools();
setUpName();
setUpChat();
setUpRoom();
people.see(me.by, me, true);
new ResizeObserver(layOut).observe($("floor"));
addEventListener("resize", layOut);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
	readPalette();
	paper.redraw();
});
setInterval(() => hello(false), HELLO_MS);
setInterval(() => {
	people.expire();
	paper.expire();
}, 1000);
onState("connecting");
link.start();
