// Bytes on a socket: HTTP answers and WebSocket frames, built and read by hand, for what a proper
// client library would never send.
import crypto from 'node:crypto';
import net from 'node:net';
import { assert, atEnd, host, port, sleep } from './tap.mjs';

export class Raw {
	constructor(socket) {
		this.socket = socket;
		this.buffer = Buffer.alloc(0);
		this.ended = false;
		this.error = null;
		this.wakers = [];
		socket.on('data', data => { this.buffer = Buffer.concat([this.buffer, data]); this.wake(); });
		socket.on('end', () => { this.ended = true; this.wake(); });
		socket.on('error', error => { this.error = error; this.ended = true; this.wake(); });
		socket.on('close', () => { this.ended = true; this.wake(); });
	}

	wake() {
		for (const waker of this.wakers.splice(0))
			waker();
	}

	// Waits until `take` returns something other than undefined; undefined if the server closed first.
	async until(take) {
		for (;;) {
			const got = take();
			if (got !== undefined || this.ended)
				return got;
			await new Promise(resolve => this.wakers.push(resolve));
		}
	}

	send(bytes) {
		this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
	}

	// Every byte in a segment of its own, as far as the kernel lets us.
	async sendByteByByte(bytes, pause = 0) {
		for (const byte of Buffer.from(bytes, 'latin1')) {
			this.socket.write(Buffer.of(byte));
			await (pause > 0 ? sleep(pause) : new Promise(setImmediate));
		}
	}

	consume(n) {
		const taken = this.buffer.subarray(0, n);
		this.buffer = this.buffer.subarray(n);
		return taken;
	}

	// The next HTTP answer; `bodyless` when the request was HEAD. Fails if the server closes first.
	async response({ bodyless = false } = {}) {
		const answer = await this.until(() => takeResponse(this, bodyless));
		assert.ok(answer, `an answer, but the server closed ${this.error ?? ''}`);
		return answer;
	}

	// The head alone, for streams.
	async head() {
		const answer = await this.until(() => takeHead(this));
		assert.ok(answer, 'the head of an answer, but the server closed');
		return answer;
	}

	async waitClosed(why = 'the connection closes') {
		await this.until(() => undefined);
		assert.ok(this.ended, why);
	}

	// The next frame: { fin, op, payload }; undefined if the server closed.
	frame() {
		return this.until(() => takeFrame(this));
	}

	// The next text message as text, pings and pongs left out.
	async text() {
		for (;;) {
			const frame = await this.frame();
			assert.ok(frame, 'a frame, but the server closed');
			if (frame.op === OP.text)
				return frame.payload.toString();
			assert.ok(frame.op === OP.ping || frame.op === OP.pong,
				`a text frame, not ${frame.op} ${closeCode(frame)}`);
		}
	}

	async json() {
		return JSON.parse(await this.text());
	}

	// Reads on until the server says goodbye with that code, answers, and waits for its end.
	async expectClose(...codes) {
		for (;;) {
			const frame = await this.frame();
			assert.ok(frame, `a close frame ${codes}, but the connection ended without one`);
			if (frame.op !== OP.close)
				continue;
			assert.ok(codes.includes(closeCode(frame)), `close ${closeCode(frame)}, wanted ${codes}`);
				break;
		}
		if (!this.ended)
			this.send(frame(OP.close, Buffer.of(3, 232)));
		await this.waitClosed();
	}
}

export async function connect() {
	const socket = net.connect({ host, port, noDelay: true, allowHalfOpen: true });
	const raw = new Raw(socket);
	atEnd(() => socket.destroy());
	await new Promise((resolve, reject) => {
		socket.once('connect', resolve);
		socket.once('error', reject);
	});
	return raw;
}

// --- HTTP ---

function takeHead(raw) {
	const end = raw.buffer.indexOf('\r\n\r\n');
	if (end < 0)
		return undefined;
	const lines = raw.consume(end + 4).toString('latin1').slice(0, -4).split('\r\n');
	const [, version, status] = /^(HTTP\/1\.[01]) (\d{3})(?: .*)?$/.exec(lines[0]) ?? [];
	assert.ok(status, `a status line: ${lines[0]}`);
	const headers = {};
	for (const line of lines.slice(1)) {
		const [, name, value] = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/.exec(line) ?? [];
		assert.ok(name, `a header line: ${line}`);
		const key = name.toLowerCase();
		headers[key] = key in headers ? `${headers[key]}, ${value}` : value;
	}
	return { version, status: Number(status), headers };
}

// One complete chunked body, or undefined while it is not there.
function takeChunks(raw) {
	const parts = [];
	for (let at = 0; ;) {
		const eol = raw.buffer.indexOf('\r\n', at);
		if (eol < 0)
			return undefined;
		const size = parseInt(raw.buffer.subarray(at, eol).toString('latin1'), 16);
		at = eol + 2;
		if (raw.buffer.length < at + size + 2)
			return undefined;
		parts.push(raw.buffer.subarray(at, at + size));
		at += size + 2;
		if (size === 0) {
			raw.consume(at);
			return Buffer.concat(parts);
		}
	}
}

function takeBody(raw, answer, bodyless) {
	const { status, headers } = answer;
	if (bodyless || status < 200 || status === 204 || status === 304)
		return Buffer.alloc(0);
	if (headers['transfer-encoding'] === 'chunked')
		return takeChunks(raw);
	if (headers['content-length'] !== undefined) {
		const length = Number(headers['content-length']);
		return raw.buffer.length >= length ? raw.consume(length) : undefined;
	}
	return raw.ended ? raw.consume(raw.buffer.length) : undefined;
}

function takeResponse(raw, bodyless) {
	const before = raw.buffer;
	const answer = takeHead(raw);
	const body = answer && takeBody(raw, answer, bodyless);
	if (!body) {
		raw.buffer = before;
		return undefined;
	}
	answer.body = body;
	answer.text = body.toString();
	Object.defineProperty(answer, 'json', { get: () => JSON.parse(answer.text) });
	return answer;
}

export function requestText(method, path, { headers = {}, body, version = '1.1' } = {}) {
	const all = { Host: `${host}:${port}`, ...headers };
	const bytes = body === undefined ? undefined : Buffer.from(body);
	if (bytes !== undefined && !('Content-Length' in all) && !('Transfer-Encoding' in all))
		all['Content-Length'] = bytes.length;
	let text = `${method} ${path} HTTP/${version}\r\n`;
	for (const [name, value] of Object.entries(all))
		if (value !== undefined)
			text += `${name}: ${value}\r\n`;
	return Buffer.concat([Buffer.from(`${text}\r\n`, 'latin1'), bytes ?? Buffer.alloc(0)]);
}

// One request on a connection of its own.
export async function request(method, path, options = {}) {
	const raw = await connect();
	raw.send(requestText(method, path, options));
	const answer = await raw.response({ bodyless: method === 'HEAD' });
	raw.socket.destroy();
	return answer;
}

export const eventsPath = channel => `/api/channels/${encodeURIComponent(channel)}/events`;

// Publishes one piece of JSON by POST and returns the answer's { channel, epoch, seq }.
export async function post(channel, json) {
	const answer = await request('POST', eventsPath(channel),
		{ headers: { 'Content-Type': 'application/json' }, body: json });
	assert.equal(answer.status, 202, answer.text);
	return answer.json;
}

export async function history(channel, query = '') {
	const answer = await request('GET', eventsPath(channel) + query);
	assert.equal(answer.status, 200, answer.text);
	return answer.json;
}

// --- WebSocket ---

export const OP = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };

export function frame(op, payload = '', { fin = true, mask = true, rsv = 0, length } = {}) {
	const body = Buffer.from(payload);
	const n = length ?? body.length;
	const head = [(fin ? 0x80 : 0) | rsv << 4 | op];
	if (n < 126)
		head.push(n);
	else if (n < 65536)
		head.push(126, n >> 8, n & 255);
	else
		head.push(127, ...[56n, 48n, 40n, 32n, 24n, 16n, 8n, 0n].map(s => Number(BigInt(n) >> s & 255n)));
	if (!mask)
		return Buffer.concat([Buffer.from(head), body]);
	const key = crypto.randomBytes(4);
	head[1] |= 0x80;
	return Buffer.concat([Buffer.from(head), key, body.map((byte, i) => byte ^ key[i & 3])]);
}

export const textFrame = value => frame(OP.text, typeof value === 'string' ? value : JSON.stringify(value));

export const closeCode = f => f.op !== OP.close ? '' : f.payload.length < 2 ? 1005 : f.payload.readUInt16BE(0);

function takeFrame(raw) {
	const b = raw.buffer;
	if (b.length < 2)
		return undefined;
	let n = b[1] & 127, head = 2;
	if (n === 126) {
		head = 4;
		if (b.length < head)
			return undefined;
		n = b.readUInt16BE(2);
	} else if (n === 127) {
		head = 10;
		if (b.length < head)
			return undefined;
		n = Number(b.readBigUInt64BE(2));
	}
	assert.equal(b[1] & 0x80, 0, 'a server never masks');
	assert.equal(b[0] & 0x70, 0, 'no reserved bits without an extension');
	if (b.length < head + n)
		return undefined;
	const taken = raw.consume(head + n);
	return { fin: (taken[0] & 0x80) !== 0, op: taken[0] & 15, payload: Buffer.from(taken.subarray(head)) };
}

export const acceptFor = key =>
	crypto.createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');

export function upgradeText(path = '/ws/channels', headers = {}) {
	return requestText('GET', path, {
		headers: {
			Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Version': '13',
			'Sec-WebSocket-Key': 'x3JJHMbDL1EzLkh9GBhXDw==', ...headers,
		},
	});
}

// An upgraded connection to the channel dialect.
export async function upgraded() {
	const raw = await connect();
	raw.send(upgradeText());
	const answer = await raw.head();
	assert.equal(answer.status, 101);
	return raw;
}
