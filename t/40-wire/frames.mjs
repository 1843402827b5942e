// WebSocket itself, on /ws/channels: the handshake, frames however they are cut, and what closes
// with which code (RFC 6455).
import { assert, newChannel, run, server, sleep, test } from './tap.mjs';
import { OP, acceptFor, closeCode, connect, frame, requestText, textFrame, upgradeText, upgraded } from './raw.mjs';

const PING = textFrame({ type: 'ping' });

async function expectPong(raw) {
	assert.deepEqual(await raw.json(), { type: 'pong' });
}

// Sends the frames on a new connection and expects this close code; a good message follows them,
// which must not be answered.
async function closes(frames, ...codes) {
	const raw = await upgraded();
	for (const bytes of [frames].flat())
		raw.send(bytes);
	raw.send(PING);
	await raw.expectClose(...codes);
}

// --- handshake ---

test('the handshake answers 101 with the right Sec-WebSocket-Accept', async () => {
	const raw = await connect(), key = 'dGhlIHNhbXBsZSBub25jZQ==';
	raw.send(upgradeText('/ws/channels', { 'Sec-WebSocket-Key': key }));
	const { status, headers } = await raw.head();
	assert.equal(status, 101);
	assert.match(headers['x-request-id'], /^[0-9a-f-]{36}$/);
	assert.equal(headers['sec-websocket-accept'], acceptFor(key));
	assert.match(headers.upgrade, /^websocket$/i);
	assert.match(headers.connection, /^upgrade$/i);
	assert.ok(!('sec-websocket-extensions' in headers) && !('sec-websocket-protocol' in headers));
	assert.ok(!('content-length' in headers) && !('transfer-encoding' in headers));
});

test('the handshake reads its headers without regard to case and as lists', async () => {
	for (const headers of [{ Upgrade: 'WebSocket' }, { Connection: 'keep-alive, Upgrade' }, { Connection: 'upgrade' }]) {
		const raw = await connect();
		raw.send(upgradeText('/ws/channels', headers));
		assert.equal((await raw.head()).status, 101, JSON.stringify(headers));
	}
});

test('the handshake arrives byte by byte', async () => {
	const raw = await connect();
	await raw.sendByteByByte(upgradeText());
	assert.equal((await raw.head()).status, 101);
	raw.send(PING);
	await expectPong(raw);
});

test('a query and a protocol nobody knows do not disturb the handshake', async () => {
	const raw = await connect();
	raw.send(upgradeText('/ws/channels?x=1', { 'Sec-WebSocket-Protocol': 'chat, superchat' }));
	const { status, headers } = await raw.head();
	assert.equal(status, 101);
	assert.ok(!('sec-websocket-protocol' in headers));
});

test('a bad handshake is refused in HTTP, with JSON', async () => {
	for (const [headers, ...codes] of [
		[{ 'Sec-WebSocket-Version': '8' }, 426, 400], [{ 'Sec-WebSocket-Version': undefined }, 426, 400],
		[{ 'Sec-WebSocket-Key': undefined }, 400], [{ 'Sec-WebSocket-Key': 'short' }, 400],
		[{ 'Sec-WebSocket-Key': '' }, 400],
		[{ Upgrade: undefined, Connection: undefined }, 426, 400], [{ Upgrade: 'h2c' }, 426, 400],
		[{ Connection: 'close' }, 426, 400],
	]) {
		const raw = await connect();
		raw.send(upgradeText('/ws/channels', headers));
		const answer = await raw.response();
		assert.ok(codes.includes(answer.status), `${answer.status} for ${JSON.stringify(headers)}`);
		assert.equal(typeof answer.json.error, 'string');
	}
	const raw = await connect();
	raw.send(requestText('POST', '/ws/channels', { headers: { Upgrade: 'websocket', Connection: 'Upgrade',
		'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': 'x3JJHMbDL1EzLkh9GBhXDw==' }, body: '' }));
	assert.ok([400, 405].includes((await raw.response()).status));
});

test('a wrong version is told which is right', async () => {
	const raw = await connect();
	raw.send(upgradeText('/ws/channels', { 'Sec-WebSocket-Version': '8' }));
	assert.equal((await raw.response()).headers['sec-websocket-version'], '13');
});

test('an unknown WebSocket path is 404', async () => {
	const raw = await connect();
	raw.send(upgradeText('/ws/nowhere'));
	assert.equal((await raw.response()).status, 404);
});

test('an upgrade works on a connection that has served requests before', async () => {
	const raw = await connect();
	raw.send(requestText('GET', '/health'));
	assert.equal((await raw.response()).status, 200);
	raw.send(upgradeText());
	assert.equal((await raw.head()).status, 101);
	raw.send(PING);
	await expectPong(raw);
});

// --- frames ---

test('a ping is answered with its own payload, a pong with nothing', async () => {
	const raw = await upgraded();
	for (const payload of ['', 'x', '\0\xff\x80', 'y'.repeat(125)]) {
		const bytes = Buffer.from(payload, 'latin1');
		raw.send(frame(OP.pong, 'unasked'));
		raw.send(frame(OP.ping, bytes));
		const answer = await raw.frame();
		assert.equal(answer.op, OP.pong);
		assert.deepEqual(answer.payload, bytes);
	}
	raw.send(PING);
	await expectPong(raw);
});

test('many pings in one segment are answered in order', async () => {
	const raw = await upgraded();
	raw.send(Buffer.concat(Array.from({ length: 20 }, (_, i) => frame(OP.ping, String(i)))));
	for (let i = 0; i < 20; i++)
		assert.equal((await raw.frame()).payload.toString(), String(i));
});

test('a message may come in fragments, with pings between', async () => {
	const raw = await upgraded(), channel = newChannel();
	const bytes = Buffer.from(JSON.stringify({ type: 'publish', channel, id: '😀é', data: 'ä😀' }));
	for (const size of [1, 7, 50]) {
		raw.send(frame(OP.text, '', { fin: false }));
		for (let at = 0; at < bytes.length; at += size) {
			raw.send(frame(OP.continuation, bytes.subarray(at, at + size), { fin: false }));
			raw.send(frame(OP.ping, 'between'));
			raw.send(frame(OP.continuation, '', { fin: false }));
		}
		raw.send(frame(OP.continuation));
		assert.equal((await raw.json()).id, '😀é');
	}
});

test('a message that is cut at any byte is one message', async () => {
	const raw = await upgraded(), channel = newChannel();
	const bytes = textFrame({ type: 'publish', channel, id: 'cut', data: { a: 'é' } });
	for (let cut = 1; cut < bytes.length; cut++) {
		raw.send(bytes.subarray(0, cut));
		await sleep(2);
		raw.send(bytes.subarray(cut));
		const answer = await raw.json();
		assert.equal(answer.id, 'cut');
		assert.equal(answer.seq, cut);
	}
}, { seconds: 20 });

test('messages that come byte by byte are messages, frames of all three lengths', async () => {
	const raw = await upgraded(), channel = newChannel();
	await raw.sendByteByByte(PING, 1);
	await expectPong(raw);
	await raw.sendByteByByte(textFrame({ type: 'publish', channel, id: '1', data: 'x'.repeat(300) }));
	assert.equal((await raw.json()).seq, 1);
	const padding = ' '.repeat(server.maxMessage - '{"type":"ping"}'.length);
	raw.send(textFrame(`{"type":"ping"}${padding}`));
	await expectPong(raw);
	const long = textFrame({ type: 'publish', channel, id: '2', data: 'y'.repeat(60000) });
	for (let at = 0; at < long.length; at += 1000) {
		raw.send(long.subarray(at, at + 1000));
		await new Promise(setImmediate);
	}
	assert.equal((await raw.json()).seq, 2);
});

test('500 messages in one segment are all answered in order', async () => {
	const raw = await upgraded(), channel = newChannel();
	raw.send(Buffer.concat(Array.from({ length: 500 }, (_, i) =>
		textFrame({ type: 'publish', channel, id: String(i), data: i }))));
	for (let i = 0; i < 500; i++)
		assert.deepEqual(await raw.json(), { type: 'published', id: String(i), channel, seq: i + 1 });
});

test('a message and a half in one segment, then the rest and another', async () => {
	const raw = await upgraded(), bytes = Buffer.concat([PING, PING, PING]);
	const cut = Math.floor(PING.length * 1.5);
	raw.send(bytes.subarray(0, cut));
	await expectPong(raw);
	raw.send(bytes.subarray(cut));
	await expectPong(raw);
	await expectPong(raw);
});

test('a longer form of the length than needed is understood or refused, never misread', async () => {
	const raw = await upgraded(), body = Buffer.from('{"type":"ping"}');
	const masked = frame(OP.text, body);
	raw.send(Buffer.concat([Buffer.of(0x81, 0xfe, 0, body.length), masked.subarray(2)]));
	const answer = await raw.frame();
	assert.ok(answer.op === OP.text || closeCode(answer) === 1002);
});

// --- violations ---

test('a binary frame closes with 1003, fragmented too', async () => {
	await closes(frame(OP.binary, 'x'), 1003);
	await closes(frame(OP.binary, ''), 1003);
	await closes([frame(OP.binary, 'x', { fin: false }), frame(OP.continuation, 'y')], 1003);
});

test('an unmasked frame closes with 1002', async () => {
	await closes(frame(OP.text, '{"type":"ping"}', { mask: false }), 1002);
	await closes(frame(OP.ping, '', { mask: false }), 1002);
});

test('reserved opcodes and bits close with 1002', async () => {
	for (const op of [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
		await closes(frame(op, 'x'), 1002);
	for (const rsv of [1, 2, 4])
		await closes(frame(OP.text, '{"type":"ping"}', { rsv }), 1002);
});

test('control frames that are long or fragmented close with 1002', async () => {
	await closes(frame(OP.ping, 'x'.repeat(126)), 1002);
	await closes(frame(OP.ping, 'x', { fin: false }), 1002);
	await closes(frame(OP.close, 'x'.repeat(126)), 1002);
	await closes(frame(OP.pong, '', { fin: false }), 1002);
});

test('fragments out of place close with 1002', async () => {
	await closes(frame(OP.continuation, 'x'), 1002);
	await closes(frame(OP.continuation, 'x', { fin: false }), 1002);
	await closes([frame(OP.text, 'x', { fin: false }), frame(OP.text, 'y')], 1002);
	await closes([frame(OP.text, '{', { fin: false }), frame(OP.binary, 'y')], 1002, 1003);
});

test('a length with its top bit set closes with 1002 or 1009', async () => {
	await closes(Buffer.of(0x81, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0), 1002, 1009);
});

const badUtf8 = ['ff', 'c3', 'c080', 'c1bf', 'e08080', 'eda080', 'edbfbf', 'f0808080', 'f4908080', 'f8888080', '80', 'e282', 'c328', 'f09f98'];

test('text that is not UTF-8 closes with 1007', async () => {
	for (const bad of badUtf8)
		await closes(frame(OP.text, Buffer.concat([Buffer.from('{"type":"'), Buffer.from(bad, 'hex'), Buffer.from('"}')])), 1007);
	for (const bad of badUtf8)
		await closes(frame(OP.text, Buffer.from(bad, 'hex')), 1007);
}, { seconds: 20 });

test('text that is not UTF-8 closes with 1007 also when it comes in fragments', async () => {
	await closes([frame(OP.text, Buffer.from('22c3', 'hex'), { fin: false }), frame(OP.continuation, Buffer.from('2822', 'hex'))], 1007);
	await closes([frame(OP.text, Buffer.from('22e2', 'hex'), { fin: false }), frame(OP.continuation, '')], 1007);
});

test('a character that is cut between fragments is whole again', async () => {
	const raw = await upgraded(), channel = newChannel();
	const bytes = Buffer.from(`{"type":"publish","channel":"${channel}","id":"\u{10ffff}","data":1}`);
	const at = bytes.indexOf(0xf4);
	for (let cut = at; cut <= at + 4; cut++) {
		raw.send(frame(OP.text, bytes.subarray(0, cut), { fin: false }));
		raw.send(frame(OP.continuation, bytes.subarray(cut)));
		assert.equal((await raw.json()).id, '\u{10ffff}');
	}
});

test('over max_message closes with 1009: at once, by the head alone, in fragments', async () => {
	await closes(frame(OP.text, ' '.repeat(server.maxMessage + 1)), 1009);
	const raw = await upgraded();
	raw.send(frame(OP.text, '{', { length: 10 * server.maxMessage }));
	await raw.expectClose(1009);
	const half = ' '.repeat(server.maxMessage / 2 + 1);
	await closes([frame(OP.text, half, { fin: false }), frame(OP.continuation, half)], 1009);
	await closes(frame(OP.text, '', { length: 2 ** 40 }), 1009);
});

// --- close ---

test('a close frame is answered with its code, then the server closes', async () => {
	for (const code of [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999]) {
		const raw = await upgraded();
		raw.send(frame(OP.close, Buffer.concat([Buffer.of(code >> 8, code & 255), Buffer.from('auf Wiedersehen é')])));
		await raw.expectClose(code);
	}
});

test('a close frame without a code is answered and ends the connection', async () => {
	const raw = await upgraded();
	raw.send(frame(OP.close));
	await raw.expectClose(1000, 1005);
});

test('codes that may not be sent, and torn ones, are 1002', async () => {
	for (const code of [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])
		await closes(frame(OP.close, Buffer.of(code >> 8, code & 255)), 1002);
	await closes(frame(OP.close, 'x'), 1002);
});

test('a reason that is not UTF-8 is 1007 or 1002', async () => {
	await closes(frame(OP.close, Buffer.from('03e8ff', 'hex')), 1007, 1002);
});

test('what comes after a close frame is ignored', async () => {
	const raw = await upgraded();
	raw.send(Buffer.concat([PING, frame(OP.close, Buffer.of(3, 232)), PING, Buffer.from('garbage')]));
	await expectPong(raw);
	await raw.expectClose(1000);
});

test('all that was asked before a violation is answered before the close', async () => {
	const raw = await upgraded();
	raw.send(Buffer.concat([PING, PING, frame(OP.binary, 'x')]));
	await expectPong(raw);
	await expectPong(raw);
	await raw.expectClose(1003);
});

test('a client that only shuts its sending side is let go', async () => {
	const raw = await upgraded();
	raw.socket.end();
	await raw.waitClosed();
});

await run();
