/*
 * The pen: pointer (mouse, finger, stylus) and keyboard, both on the live canvas, become pieces.
 *
 * While the pen is down its points gather in a tail. Each 40 ms the tail is shown to the others
 * as a preview; when it is long or old it is cut off as a finished piece, of which the next tail
 * repeats the last two points. So the others see a stroke grow, and the room's history, which
 * keeps a fixed number of events, holds many strokes instead of a few seconds of one. The own
 * tail is a preview on the own paper too, so it is visible at once.
 */

import { WIDTH, HEIGHT, packPoints } from "./paper.js";

const WHISPER_MS = 40;
const CUT_MS = 1000;
const CUT_POINTS = 48;
const APART = 6;
const STEP = 20;
const LEAP = 100;
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Pen {
	/*
	 * `on` gets: piece(piece, packed) a finished one, whisper(x, y, ink|null), say(text) for screen
	 * readers, cursor(x, y, isDown) of the keyboard or null. `style` returns {by, colour, pen}.
	 */
	constructor(canvas, paper, style, on) {
		this.canvas = canvas;
		this.paper = paper;
		this.style = style;
		this.on = on;
		this.stroke = 0;
		this.tail = null;
		this.pointer = null;
		this.at = { x: WIDTH / 2, y: HEIGHT / 2 };
		this.moved = false;
		this.timer = 0;
		this.spokenAt = 0;
		canvas.addEventListener("pointerdown", (event) => this.onDown(event));
		canvas.addEventListener("pointermove", (event) => this.onMove(event));
		canvas.addEventListener("pointerup", (event) => this.onUp(event));
		canvas.addEventListener("pointercancel", (event) => this.onUp(event));
		canvas.addEventListener("keydown", (event) => this.onKey(event));
		canvas.addEventListener("focus", () => this.onFocus());
		canvas.addEventListener("blur", () => this.onBlur());
	}

	/* Down, along, up. */

	down(x, y) {
		this.stroke++;
		this.tail = { ...this.style(), stroke: this.stroke, index: 0, points: [x, y],
			cutAt: performance.now() };
		this.show();
	}

	along(x, y) {
		const points = this.tail.points;
		const dx = x - points[points.length - 2];
		const dy = y - points[points.length - 1];

		if (dx * dx + dy * dy < APART * APART)
			return;
		points.push(x, y);
		if (points.length >= 2 * CUT_POINTS)
			this.cut(false);
	}

	up() {
		if (this.tail === null)
			return;
		this.cut(true);
		this.tail = null;
	}

	cut(isLast) {
		const { by, colour, pen, stroke, index, points } = this.tail;
		const piece = { by, colour, pen, stroke, index, isLast, seq: Infinity,
			points: Int16Array.from(points) };

		this.on.piece(piece, packPoints(points));
		this.tail.points = points.slice(-4);
		this.tail.index++;
		this.tail.cutAt = performance.now();
	}

	show() {
		const { by, colour, pen, stroke, index, points } = this.tail;

		this.paper.preview({ by, colour, pen, stroke, index, isLast: true,
			points: Int16Array.from(points) });
	}

	/* Tells the others where the pen is, at most each WHISPER_MS, and last of all where it rests. */
	moveTo(x, y) {
		this.at = { x, y };
		this.moved = true;
		if (this.timer !== 0)
			return;
		const wait = Math.max(0, this.spokenAt + WHISPER_MS - performance.now());

		this.timer = setTimeout(() => this.tick(), wait);
	}

	tick() {
		const tail = this.tail;
		let ink = null;

		this.timer = 0;
		if (tail !== null && performance.now() - tail.cutAt > CUT_MS && tail.points.length > 4)
			this.cut(false);
		if (tail !== null) {
			this.show();
			ink = { stroke: tail.stroke, piece: tail.index, colour: tail.colour, pen: tail.pen,
				points: packPoints(tail.points) };
		}
		if (this.moved)
			this.on.whisper(this.at.x, this.at.y, ink);
		this.moved = false;
		this.spokenAt = performance.now();
		if (tail !== null)
			this.timer = setTimeout(() => this.tick(), WHISPER_MS);
	}

	/* Pointer. */

	where(event) {
		const box = this.canvas.getBoundingClientRect();
		const x = Math.round((event.clientX - box.left) / box.width * WIDTH);
		const y = Math.round((event.clientY - box.top) / box.height * HEIGHT);

		return { x: Math.min(WIDTH, Math.max(0, x)), y: Math.min(HEIGHT, Math.max(0, y)) };
	}

	onDown(event) {
		if (!event.isPrimary || event.button !== 0)
			return;
		const { x, y } = this.where(event);

		this.up();
		this.pointer = event.pointerId;
		this.canvas.setPointerCapture(event.pointerId);
		this.on.cursor(null);
		this.down(x, y);
		this.moveTo(x, y);
	}

	onMove(event) {
		if (!event.isPrimary)
			return;
		const all = event.getCoalescedEvents?.() ?? [];

		if (this.pointer === event.pointerId && this.tail !== null) {
			for (const one of all.length > 0 ? all : [event]) {
				const { x, y } = this.where(one);

				this.along(x, y);
			}
			this.show();
		}
		const { x, y } = this.where(event);

		this.moveTo(x, y);
	}

	onUp(event) {
		if (this.pointer !== event.pointerId)
			return;
		this.pointer = null;
		this.up();
	}

	/* Keyboard. */

	onFocus() {
		if (this.canvas.matches(":focus-visible"))
			this.on.cursor(this.at.x, this.at.y, false);
	}

	onBlur() {
		if (this.pointer === null)
			this.up();
		this.on.cursor(null);
	}

	onKey(event) {
		const move = MOVES[event.key];

		if (event.ctrlKey || event.metaKey || event.altKey)
			return;
		if (event.key === "Escape") {
			this.canvas.blur();
			this.on.say("Left the paper.");
		} else if (event.key === " " && !event.repeat) {
			this.toggle();
		} else if (move !== undefined) {
			this.step(move, event.shiftKey ? LEAP : STEP);
		} else if (event.key !== " ") {
			return;
		}
		event.preventDefault();
	}

	toggle() {
		const isDown = this.tail === null;

		if (isDown)
			this.down(this.at.x, this.at.y);
		else
			this.up();
		this.moveTo(this.at.x, this.at.y);
		this.on.say(isDown ? "Pen down." : "Pen up.");
		this.on.cursor(this.at.x, this.at.y, isDown);
	}

	step([dx, dy], length) {
		const x = Math.min(WIDTH, Math.max(0, this.at.x + dx * length));
		const y = Math.min(HEIGHT, Math.max(0, this.at.y + dy * length));

		if (this.tail !== null) {
			this.along(x, y);
			this.show();
		}
		this.moveTo(x, y);
		this.on.cursor(x, y, this.tail !== null);
	}
}
