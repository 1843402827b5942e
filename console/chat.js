/*
 * The messages, the room's own notes between them, and the toasts.
 *
 * An own message is shown at once, as pending, and confirmed when the room has given it its
 * place. The log is announced to screen readers only once the history is there.
 */

const LOG_MAX = 300;
const TOAST_MS = 7000;
const TOASTS_MAX = 3;
const NEAR_END = 60;

export class Chat {
	/* `log` is the ol, `unread` the badge on its tab, `toasts` the place where toasts appear. */
	constructor(log, unread, toasts) {
		this.log = log;
		this.badge = unread;
		this.toasts = toasts;
		this.clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
		this.messages = 0;
		this.unread = 0;
		this.isReady = false;
	}

	ready() {
		this.isReady = true;
		this.log.setAttribute("aria-live", "polite");
		this.toEnd();
	}

	toEnd() {
		this.log.scrollTop = this.log.scrollHeight;
	}

	append(item) {
		const log = this.log;
		const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_END;

		log.append(item);
		while (log.childElementCount > LOG_MAX)
			log.firstElementChild.remove();
		if (isAtEnd)
			this.toEnd();
	}

	/* `pending` is the number of an own message that has no place yet. */
	message({ name, colour, text, at, pending }) {
		const item = document.createElement("li");
		const head = document.createElement("span");
		const time = document.createElement("time");
		const body = document.createElement("p");
		const last = this.log.lastElementChild;

		item.className = `message ink-${colour}`;
		item.dataset.name = name;
		/* one person's messages in a row share a heading (screen readers hear the name each time) */
		if (last?.dataset.name === name && last.classList.contains(`ink-${colour}`))
			item.classList.add("joined");
		if (pending !== undefined) {
			item.dataset.n = String(pending);
			item.classList.add("pending");
		}
		head.className = "message-name";
		head.textContent = name;
		time.textContent = this.clock.format(at);
		time.dateTime = new Date(at).toISOString();
		body.textContent = text;
		item.append(head, time, body);
		this.append(item);
		this.messages++;
		if (pending === undefined && this.isReady && document.body.dataset.tab !== "chat")
			this.showUnread(this.unread + 1);
	}

	/* The own message `n` has its place; false when it is not shown. */
	confirm(n) {
		const item = this.log.querySelector(`[data-n="${Number(n)}"]`);

		item?.classList.remove("pending");
		return item !== null;
	}

	note(text) {
		const item = document.createElement("li");

		item.className = "note";
		item.textContent = text;
		this.append(item);
	}

	showUnread(n) {
		this.unread = n;
		this.badge.hidden = n === 0;
		this.badge.textContent = n > 99 ? "99+" : String(n);
	}

	toast(text) {
		const item = document.createElement("p");

		item.className = "toast";
		item.textContent = text;
		this.toasts.append(item);
		while (this.toasts.childElementCount > TOASTS_MAX)
			this.toasts.firstElementChild.remove();
		setTimeout(() => item.remove(), TOAST_MS);
	}
}
