/*
 * Who is in the room: the member list and the pointers on the paper.
 *
 * A member is whoever was heard of lately. A pointer goes stale after ten seconds, a member is
 * dimmed when the hellos stay away and dropped when they stay away for good (hidden pages may
 * speak only once a minute) or when the server says that they left.
 */

import { WIDTH, HEIGHT } from "./paper.js";

const POINTER_MS = 10000;
const QUIET_MS = 40000;
const GONE_MS = 100000;
const MEMBERS_MAX = 200;
const SVG = "http://www.w3.org/2000/svg";

function makeArrow() {
	const svg = document.createElementNS(SVG, "svg");
	const path = document.createElementNS(SVG, "path");

	svg.setAttribute("viewBox", "0 0 16 18");
	svg.setAttribute("width", "16");
	svg.setAttribute("height", "18");
	path.setAttribute("d", "M1.5 1.5l12.5 6.6-5.6 1.6-2.9 5.4z");
	svg.append(path);
	return svg;
}

export class People {
	/* `list` is the ul, `layer` lies over the paper, `counts` show how many there are. */
	constructor(list, layer, counts) {
		this.list = list;
		this.layer = layer;
		this.counts = counts;
		this.members = new Map();
		this.width = 0;
		this.height = 0;
	}

	resize(width, height) {
		this.width = width;
		this.height = height;
		for (const member of this.members.values())
			this.place(member);
	}

	/* Notes that `by` was heard of now; true when nobody knew them before. `who` may be null. */
	see(by, who, isMe = false) {
		let member = this.members.get(by);
		const isNew = member === undefined;

		if (isNew) {
			if (who === null || this.members.size >= MEMBERS_MAX)
				return false;
			member = this.make(by, isMe);
		}
		member.seen = performance.now();
		member.row.classList.remove("dim");
		if (who !== null && (isNew || member.name !== who.name || member.colour !== who.colour)) {
			member.name = who.name;
			member.colour = who.colour;
			this.dress(member);
			this.sort();
		}
		return isNew;
	}

	make(by, isMe) {
		const row = document.createElement("li");
		const valve = document.createElement("span");
		const name = document.createElement("span");
		const member = { by, isMe, row, label: name, name: "", colour: 0, seen: 0, pointer: null,
			x: 0, y: 0, movedAt: 0 };

		valve.className = "valve";
		name.className = "member-name";
		row.append(valve, name);
		if (isMe) {
			const you = document.createElement("span");

			you.className = "me";
			you.textContent = "you";
			row.append(you);
		}
		this.members.set(by, member);
		return member;
	}

	dress(member) {
		member.row.className = `ink-${member.colour}`;
		member.label.textContent = member.name;
		if (member.pointer !== null) {
			member.pointer.className = `pointer ink-${member.colour}`;
			member.pointer.lastChild.textContent = member.name;
		}
	}

	sort() {
		const all = [...this.members.values()];

		all.sort((a, b) => b.isMe - a.isMe || a.name.localeCompare(b.name, undefined, { numeric: true })
		    || (a.by < b.by ? -1 : 1));
		this.list.replaceChildren(...all.map((member) => member.row));
		for (const count of this.counts)
			count.textContent = String(all.length);
	}

	move(by, x, y) {
		const member = this.members.get(by);

		if (member === undefined)
			return;
		if (member.pointer === null) {
			const label = document.createElement("span");

			member.pointer = document.createElement("div");
			member.pointer.append(makeArrow(), label);
			this.dress(member);
			this.layer.append(member.pointer);
		}
		member.x = x;
		member.y = y;
		member.movedAt = performance.now();
		this.place(member);
	}

	place(member) {
		if (member.pointer === null)
			return;
		const x = member.x / WIDTH * this.width;
		const y = member.y / HEIGHT * this.height;

		member.pointer.style.transform = `translate(${x.toFixed(1)}px, ${y.toFixed(1)}px)`;
		/* near the right edge the label goes to the other side */
		member.pointer.classList.toggle("flip", x > this.width - 110);
	}

	hide(member) {
		member.pointer?.remove();
		member.pointer = null;
	}

	leave(by) {
		const member = this.members.get(by);

		if (member === undefined || member.isMe)
			return;
		this.hide(member);
		this.members.delete(by);
		this.sort();
	}

	expire() {
		const now = performance.now();

		for (const member of [...this.members.values()]) {
			if (member.pointer !== null && now - member.movedAt > POINTER_MS)
				this.hide(member);
			if (member.isMe)
				continue;
			if (now - member.seen > GONE_MS)
				this.leave(member.by);
			else
				member.row.classList.toggle("dim", now - member.seen > QUIET_MS);
		}
	}

	get pointers() {
		return this.layer.childElementCount;
	}
}
