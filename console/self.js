/*
 * Who this page is and which room it is in: what the browser remembers, and what the URL says.
 */

export const COLOURS = ["Ink", "Petrol", "Copper", "Brick", "Ochre", "Moss", "Sky", "Plum"];
const FIRST = ["Calm", "Quiet", "Bright", "Gentle", "Brisk", "Sunny", "Steady", "Merry", "Airy"];
const SECOND = ["Heron", "Otter", "Maple", "Finch", "Birch", "Badger", "Willow", "Lynx", "Wren"];
const NAME_MAX = 24;
const ROOM_MAX = 64;

function remember(key, value) {
	try {
		localStorage.setItem(`plenum.${key}`, value);
	} catch (error) {
		/* a browser that remembers nothing still works */
	}
}

function recall(key) {
	try {
		return localStorage.getItem(`plenum.${key}`);
	} catch (error) {
		return null;
	}
}

function pick(list) {
	return list[Math.floor(Math.random() * list.length)];
}

/* A name fit to be shown, or "". */
export function cleanName(value) {
	return typeof value === "string" ? value.trim().replace(/\s+/g, " ").slice(0, NAME_MAX) : "";
}

export function isColour(value) {
	return Number.isInteger(value) && value >= 0 && value < COLOURS.length;
}

/* Letters, digits and -_. only, so that no room is another one's channel of pointers. */
export function cleanRoom(value) {
	return value.replace(/[^A-Za-z0-9_.-]+/g, "-").slice(0, ROOM_MAX);
}

export function roomOfUrl() {
	let name = location.hash.slice(1);

	try {
		name = decodeURIComponent(name);
	} catch (error) {
		/* taken as it stands */
	}
	return cleanRoom(name) || "lobby";
}

export function rememberMe(me) {
	remember("name", me.name);
	remember("colour", String(me.colour));
}

/* Name and colour last as long as the browser remembers; `by` is this page's alone. */
export function makeMe() {
	const bytes = crypto.getRandomValues(new Uint8Array(8));
	const by = Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
	const colour = Number(recall("colour") ?? NaN);
	const me = { by, name: cleanName(recall("name")), pen: 0,
		colour: isColour(colour) ? colour : 1 + Math.floor(Math.random() * (COLOURS.length - 1)) };

	if (me.name === "")
		me.name = `${pick(FIRST)} ${pick(SECOND)}`;
	rememberMe(me);
	return me;
}
