// A client of the channel dialect on the package `ws`: what it receives stands in a queue, and a
// test takes it from there in order.
import WebSocket from 'ws';
import { assert, atEnd, wsUrl } from './tap.mjs';

// The bytes of one member's value in the text of an object, as they stand.
export function rawMember(text, wanted) {
	let i = 0;
	const blank = () => { while (' \t\r\n'.includes(text[i])) i++; };
	const string = () => {
		for (i++; text[i] !== '"'; i++)
			if (text[i] === '\\')
				i++;
		i++;
	};
	const value = () => {
		if (text[i] === '"')
			return string();
		let depth = 0;
		do {
			if (text[i] === '"') {
				string();
				continue;
			}
			if ('{['.includes(text[i]))
				depth++;
			if ('}]'.includes(text[i]) && depth-- === 0)
				return;
			if (depth === 0 && ', \t\r\n'.includes(text[i]))
				return;
			i++;
		} while (i < text.length);
	};
	for (blank(), i++, blank(); text[i] === '"'; i++, blank()) {
		const from = i;
		string();
		const key = JSON.parse(text.slice(from, i));
		blank();
		i++;
		blank();
		const start = i;
		value();
		if (key === wanted)
			return text.slice(start, i);
		blank();
	}
	return undefined;
}

export class Room {
	constructor(socket) {
		this.socket = socket;
		this.queue = [];
		this.texts = [];
		this.waiters = [];
		this.closed = null;
		socket.on('message', (data, binary) => {
			assert.equal(binary, false, 'only text frames');
			const text = data.toString();
			this.push(JSON.parse(text), text);
		});
		socket.on('close', (code, reason) => {
			this.closed = { code, reason: reason.toString() };
			for (const waiter of this.waiters.splice(0))
				waiter();
		});
		socket.on('error', () => {});
	}

	push(message, text) {
		this.queue.push(message);
		this.texts.push(text);
		for (const waiter of this.waiters.splice(0))
			waiter();
	}

	send(message) {
		this.socket.send(typeof message === 'string' ? message : JSON.stringify(message));
	}

	// The next message, whatever it is; its text as it came stands in `room.lastText`.
	async next() {
		while (this.queue.length === 0) {
			assert.equal(this.closed, null, `a message, but closed: ${JSON.stringify(this.closed)}`);
			await new Promise(resolve => this.waiters.push(resolve));
		}
		this.lastText = this.texts.shift();
		return this.queue.shift();
	}

	async expect(type) {
		const message = await this.next();
		assert.equal(message.type, type, JSON.stringify(message));
		return message;
	}

	// The next n messages, by type: events and answers may come in either order.
	async take(n) {
		const all = [];
		for (let i = 0; i < n; i++)
			all.push(await this.next());
		return all;
	}

	// Nothing is on its way: a ping overtakes nothing.
	async expectNothing() {
		this.send({ type: 'ping' });
		await this.expect('pong');
		assert.equal(this.queue.length, 0);
	}

	async subscribe(channel, more = {}) {
		this.send({ type: 'subscribe', channel, ...more });
		const answer = await this.expect('subscribed');
		assert.equal(answer.channel, channel);
		assert.match(answer.epoch, /^[0-9a-f]{16}$/);
		assert.ok(Number.isSafeInteger(answer.seq) && answer.seq >= 0);
		return answer;
	}

	async publish(channel, data, more = {}) {
		this.send({ type: 'publish', channel, data, ...more });
		const answer = await this.expect('published');
		assert.equal(answer.channel, channel);
		assert.equal(answer.id, more.id);
		return answer.seq;
	}

	async expectError(code, id) {
		const message = await this.expect('error');
		const codes = [code].flat();
		assert.ok(codes.includes(message.code), `${JSON.stringify(message)}, wanted ${codes}`);
		assert.equal(typeof message.message, 'string');
		assert.ok(message.message.length > 0);
		if (id !== undefined)
			assert.equal(message.id, id);
		return message;
	}

	async waitClosed() {
		while (this.closed === null)
			await new Promise(resolve => this.waiters.push(resolve));
		return this.closed.code;
	}

	close() {
		this.socket.close(1000);
		return this.waitClosed();
	}
}

export async function enter(path = '/ws/channels') {
	const socket = new WebSocket(wsUrl + path, { perMessageDeflate: false });
	const room = new Room(socket);
	atEnd(() => socket.terminate());
	await new Promise((resolve, reject) => {
		socket.once('open', resolve);
		socket.once('error', reject);
	});
	return room;
}

// Publishes 1 … n from several connections, so that no one of them goes too fast. The data are the
// numbers; their order is not kept.
export async function publishMany(channel, n, perClient = 500) {
	const rooms = await Promise.all(Array.from({ length: Math.ceil(n / perClient) }, () => enter()));
	for (let i = 0; i < n; i++)
		rooms[Math.floor(i / perClient)].send({ type: 'publish', channel, data: i + 1 });
	for (let i = 0; i < n; i++)
		await rooms[Math.floor(i / perClient)].expect('published');
	await Promise.all(rooms.map(room => room.close()));
}
