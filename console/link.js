/*
 * A connection to one room that mends itself.
 *
 * The room is two channels. `room:NAME` carries what must not be lost (strokes, messages): each
 * event has a seq, and (epoch, seq) of the last one applied is all this page has to remember.
 * First the kept history is fetched by HTTP, then the channel is subscribed `since` there, so
 * nothing falls between the two; after a lost connection the same `since` fetches what was
 * missed. When the server cannot go on from there (`recovered: false`, or a `gap`), live events
 * are held back, the kept history is fetched again, what is new in it is applied, then the held
 * events: order is kept, and what is gone for good is counted and told.
 *
 * What this page publishes waits in an outbox until the server has answered it or its own echo is
 * seen, and is sent again after a reconnect once the replay has passed. So an event may be sent
 * twice, never lost; it carries (by, n), and whoever applies it drops the second.
 *
 * `room:NAME:pointers` carries what is worthless a second later; it is sent once and forgotten.
 */

const POLL_MS = 2000;
const SILENT_MS = 10000;
const OPEN_MS = 10000;
const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 10000;
const STEADY_MS = 5000;
const OUTBOX_MAX = 400;
const HELD_MAX = 4096;
const PAGES_MAX = 50;
const BUFFERED_MAX = 1 << 16;
const TRY_AGAIN = new Set(["rate_limited", "unavailable", "full"]);

export class Link {
	/*
	 * `on` gets: event(data, seq, ts|null, replayed), whisper(data), joined(user), left(user),
	 * state(name), server(message), notice(kind, details), ready() once after the first history.
	 * `who` returns {user, name}.
	 */
	constructor({ room, token, who, on }) {
		this.room = `room:${room}`;
		this.pointers = `room:${room}:pointers`;
		this.token = token;
		this.who = who;
		this.on = on;
		this.ws = null;
		this.state = "connecting";
		this.epoch = null;
		this.seq = 0;
		this.n = 0;
		this.outbox = new Map();
		this.held = null;
		this.target = 0;
		this.repairing = false;
		this.again = false;
		this.round = 0;
		this.tries = 0;
		this.loaded = false;
		this.counters = { connects: 0, gaps: 0, lost: 0, doubled: 0, resent: 0 };
		this.rtt = null;
		this.asked = 0;
		this.timer = 0;
		this.openTimer = 0;
		this.steadyTimer = 0;
		setInterval(() => this.poll(), POLL_MS);
		addEventListener("online", () => this.retryNow());
		document.addEventListener("visibilitychange", () => {
			if (!document.hidden)
				this.retryNow();
		});
	}

	setState(state) {
		if (this.state === state)
			return;
		this.state = state;
		this.on.state(state);
	}

	/* Connecting and losing the connection. */

	async start() {
		const round = ++this.round;

		clearTimeout(this.timer);
		this.timer = 0;
		this.setState("connecting");
		if (this.epoch === null) {
			try {
				await this.fetchHistory(round);
			} catch (error) {
				if (round === this.round)
					this.retry(0);
				return;
			}
			if (round !== this.round)
				return;
		}
		this.open();
	}

	open() {
		const scheme = location.protocol === "https:" ? "wss:" : "ws:";
		const query = this.token ? `?token=${encodeURIComponent(this.token)}` : "";
		const ws = new WebSocket(`${scheme}//${location.host}/ws/channels${query}`);

		this.ws = ws;
		this.openTimer = setTimeout(() => this.dropped(ws, 0), OPEN_MS);
		ws.onopen = () => this.opened(ws);
		ws.onmessage = (event) => {
			if (ws === this.ws)
				this.message(event.data);
		};
		ws.onclose = (event) => {
			const told = /^retry=(\d{1,6})$/.exec(event.reason);

			this.dropped(ws, told ? Number(told[1]) : 0);
		};
	}

	opened(ws) {
		const since = this.epoch === null ? undefined : { epoch: this.epoch, seq: this.seq };

		if (ws !== this.ws)
			return;
		clearTimeout(this.openTimer);
		this.counters.connects++;
		this.asked = 0;
		this.send({ type: "subscribe", channel: this.room, since, presence: true, ...this.who() });
		this.send({ type: "subscribe", channel: this.pointers });
		this.poll();
	}

	dropped(ws, atLeast) {
		if (ws !== this.ws)
			return;
		clearTimeout(this.openTimer);
		clearTimeout(this.steadyTimer);
		this.ws = null;
		ws.onopen = ws.onmessage = ws.onclose = null;
		ws.close();
		this.round++;
		this.held = null;
		this.repairing = false;
		this.rtt = null;
		this.retry(atLeast);
	}

	retry(atLeast) {
		const most = Math.min(RETRY_MAX_MS, 2 * RETRY_MIN_MS * 2 ** this.tries);
		const wait = RETRY_MIN_MS + Math.random() * (most - RETRY_MIN_MS);

		this.tries = Math.min(this.tries + 1, 10);
		this.setState("waiting");
		this.timer = setTimeout(() => this.start(), Math.max(atLeast, wait));
	}

	retryNow() {
		if (this.state === "waiting" && this.timer !== 0)
			this.start();
	}

	poll() {
		const now = performance.now();

		if (this.ws === null || this.ws.readyState !== WebSocket.OPEN)
			return;
		if (this.asked === 0) {
			this.asked = now;
			this.send({ type: "server" });
		} else if (now - this.asked > SILENT_MS) {
			this.dropped(this.ws, 0);
		}
	}

	send(message) {
		this.ws.send(JSON.stringify(message));
	}

	/* What the server says. */

	message(text) {
		let m;

		try {
			m = JSON.parse(text);
		} catch (error) {
			return;
		}
		switch (m.type) {
		case "event": this.onEvent(m); break;
		case "subscribed": this.onSubscribed(m); break;
		case "published": this.outbox.delete(m.id); break;
		case "gap": this.onGap(m); break;
		case "join": this.on.joined(m.user); break;
		case "leave": this.on.left(m.user); break;
		case "server": this.onServer(m); break;
		case "error": this.onError(m); break;
		default: break;
		}
	}

	onEvent(m) {
		if (m.channel === this.pointers) {
			this.on.whisper(m.data);
			return;
		}
		if (m.channel !== this.room)
			return;
		if (this.held !== null) {
			if (this.held.push(m) > HELD_MAX) {
				this.held = [];
				this.again = true;
			}
			return;
		}
		if (m.seq > this.seq + 1) {
			this.held = [m];
			this.repair();
			return;
		}
		this.apply(m.seq, m.data, null);
		this.caughtUp();
	}

	onSubscribed(m) {
		if (m.channel !== this.room)
			return;
		this.target = m.seq;
		if (m.recovered === true || (m.seq === 0 && m.recovered === undefined)) {
			this.epoch = m.epoch;
			this.caughtUp();
			return;
		}
		if (m.recovered === false)
			this.counters.gaps++;
		if (m.seq < this.seq)
			this.seq = 0;
		this.held = [];
		this.repair();
	}

	onGap(m) {
		if (m.channel !== this.room)
			return;
		this.counters.gaps++;
		this.target = Math.max(m.epoch === this.epoch ? this.target : 0, m.to);
		if (this.held === null)
			this.held = [];
		this.repair();
	}

	onServer(m) {
		this.rtt = performance.now() - this.asked;
		this.asked = 0;
		this.on.server(m);
	}

	onError(m) {
		const entry = m.id === undefined ? undefined : this.outbox.get(m.id);

		if (m.code === "unknown_type") {
			this.asked = 0;
			return;
		}
		if (entry !== undefined && TRY_AGAIN.has(m.code)) {
			setTimeout(() => this.resend(m.id), 1000);
			return;
		}
		if (entry !== undefined)
			this.outbox.delete(m.id);
		else if (m.id !== undefined || this.state === "live")
			return;
		this.on.notice("refused", { code: m.code, text: m.message });
		if (entry === undefined)
			this.dropped(this.ws, 0);
	}

	apply(seq, data, ts) {
		if (seq <= this.seq) {
			this.counters.doubled++;
			return;
		}
		this.seq = seq;
		if (data !== null && typeof data === "object" && data.by === this.who().user)
			this.outbox.delete(String(data.n));
		this.on.event(data, seq, ts, seq <= this.target);
	}

	/* The replay has passed: what was published and never seen again goes out once more. */
	caughtUp() {
		if (this.state === "live" || this.seq < this.target || this.ws === null)
			return;
		this.setState("live");
		this.steadyTimer = setTimeout(() => { this.tries = 0; }, STEADY_MS);
		if (!this.loaded) {
			this.loaded = true;
			this.on.ready();
		}
		for (const id of this.outbox.keys())
			this.resend(id);
	}

	/* History by HTTP. */

	async page(query) {
		const headers = this.token ? { Authorization: `Bearer ${this.token}` } : {};
		const path = `/api/channels/${encodeURIComponent(this.room)}/events${query}`;
		const answer = await fetch(path, { headers, cache: "no-store" });

		if (!answer.ok)
			throw new Error(`history: ${answer.status}`);
		return answer.json();
	}

	/* Applies all that the server keeps and this page has not seen; returns how much is gone. */
	async fetchHistory(round) {
		const known = this.epoch;
		let lost = 0;
		let query = "";

		for (let i = 0; i < PAGES_MAX; i++) {
			const h = await this.page(query);

			if (round !== this.round || h.epoch === null)
				return lost;
			if (h.epoch !== this.epoch) {
				this.epoch = h.epoch;
				this.seq = 0;
			}
			this.target = Math.max(this.target, h.seq);
			for (const event of h.events) {
				if (known !== null && event.seq > this.seq + 1)
					lost += event.seq - this.seq - 1;
				if (event.seq > this.seq)
					this.apply(event.seq, event.data, event.ts);
			}
			if (h.events.length === 0 || this.seq >= h.seq) {
				if (known !== null && h.seq > this.seq)
					lost += h.seq - this.seq;
				this.seq = Math.max(this.seq, h.seq);
				return lost;
			}
			query = `?since=${this.seq}&epoch=${this.epoch}`;
		}
		return lost;
	}

	async repair() {
		const round = this.round;
		const before = this.epoch;
		let lost = 0;

		this.again = true;
		if (this.repairing)
			return;
		this.repairing = true;
		try {
			while (this.again) {
				this.again = false;
				lost += await this.fetchHistory(round);
				if (round !== this.round)
					return;
			}
		} catch (error) {
			if (round === this.round && this.ws !== null)
				this.dropped(this.ws, 0);
			return;
		}
		this.repairing = false;
		this.release(before, lost);
	}

	release(before, lost) {
		const held = this.held ?? [];

		this.held = null;
		for (const m of held) {
			if (m.seq > this.seq + 1)
				lost += m.seq - this.seq - 1;
			this.apply(m.seq, m.data, null);
		}
		this.counters.lost += lost;
		if (before !== null)
			this.on.notice("gap", { lost, renewed: before !== this.epoch });
		this.target = Math.min(this.target, this.seq);
		this.caughtUp();
	}

	/* What this page says. */

	/* Puts (by, n) into `data` and sends it for certain; null when too much waits already. */
	publish(data) {
		if (this.outbox.size >= OUTBOX_MAX)
			return null;
		data.by = this.who().user;
		data.n = ++this.n;
		this.outbox.set(String(data.n), data);
		if (this.state === "live")
			this.put(String(data.n), data);
		return data;
	}

	put(id, data) {
		this.send({ type: "publish", channel: this.room, id, data });
	}

	resend(id) {
		const data = this.outbox.get(id);

		if (data === undefined || this.state !== "live")
			return;
		this.counters.resent++;
		this.put(id, data);
	}

	/* Sends `data` once to whoever is there now. */
	whisper(data) {
		if (this.state !== "live" || this.ws.bufferedAmount > BUFFERED_MAX)
			return;
		data.by = this.who().user;
		this.send({ type: "publish", channel: this.pointers, echo: false, data });
	}
}
