// The scenes of clients.sh, which starts a server with the settings that each of them needs.
import net from 'node:net';
import { assert, atEnd, host, newChannel, port, run, sleep, test } from '../40-wire/tap.mjs';
import {
	OP, Raw, connect, eventsPath, frame, requestText, textFrame, upgraded,
} from '../40-wire/raw.mjs';

export {};	// no test by itself

const big = n => JSON.stringify('x'.repeat(n - 2));

const post = (channel, json) => requestText('POST', eventsPath(channel),
	{ headers: { 'Content-Type': 'application/json' }, body: json });

// n events of 60000 bytes, published over one connection.
async function fill(channel, n) {
	const raw = await connect();
	for (let i = 0; i < n; i++) {
		raw.send(post(channel, big(60000)));
		assert.equal((await raw.response()).status, 202);
	}
	raw.socket.destroy();
}

// A client that asks and then reads nothing for a while.
async function lazy(bytes, ms) {
	const socket = net.connect({ host, port, allowHalfOpen: true });
	atEnd(() => socket.destroy());
	await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
	socket.pause();
	socket.write(bytes);
	await sleep(ms);
	const raw = new Raw(socket);
	socket.resume();
	return raw;
}

for (const [how, headers, version] of [
		['HTTP/1.1 with Connection: close', { Connection: 'close' }, '1.1'], ['HTTP/1.0', {}, '1.0']])
	test(`a long answer to a slow reader is whole, ${how}`, async () => {
		const channel = newChannel();
		await fill(channel, 400);
		const raw = await lazy(requestText('GET', eventsPath(channel), { headers, version }), 5000);
		const answer = await raw.response();
		assert.equal(answer.json.events.length, 400);
		assert.equal(answer.json.recovered, true);
	}, { seconds: 40 });

test('a request behind a long answer is not late because the answer takes long', async () => {
	const channel = newChannel();
	await fill(channel, 400);
	const raw = await lazy(Buffer.concat([requestText('GET', eventsPath(channel)),
		requestText('GET', '/health/live')]), 4000);
	assert.equal((await raw.response()).json.events.length, 400);
	assert.equal((await raw.response()).status, 200);
}, { seconds: 40 });

test('a long answer that is read all the time may take longer than request_timeout', async () => {
	const channel = newChannel();
	await fill(channel, 500);
	const socket = net.connect({ host, port, allowHalfOpen: true });
	atEnd(() => socket.destroy());
	socket.write(requestText('GET', eventsPath(channel)));
	const raw = new Raw(socket);
	for (let got = 0; got < 30;) {		// a piece every 200 ms
		socket.resume();
		await sleep(10);
		socket.pause();
		await sleep(190);
		got++;
	}
	socket.resume();
	assert.equal((await raw.response()).json.events.length, 500);
}, { seconds: 60 });

test('a client whose segments end within requests is not late', async () => {
	const raw = await connect();
	const text = requestText('GET', '/health/live');
	const end = Date.now() + 3500;
	let sent = 1;
	raw.send(text.subarray(0, 10));
	while (Date.now() < end) {
		raw.send(Buffer.concat([text.subarray(10), text.subarray(0, 10)]));
		assert.equal((await raw.response()).status, 200);
		sent++;
		await sleep(50);
	}
	raw.send(text.subarray(10));
	assert.equal((await raw.response()).status, 200);
	assert.ok(sent > 20);
});

test('a body whose chunks fill a block is refused at once', async () => {
	const raw = await connect();
	raw.send(requestText('POST', eventsPath(newChannel()),
		{ headers: { 'Transfer-Encoding': 'chunked' } }));
	raw.send('1\r\n5\r\n'.repeat(20000) + '0\r\n\r\n');
	assert.equal((await raw.response()).status, 413);
}, { seconds: 5 });

test('answers to all that was asked before the half-close arrive', async () => {
	for (const n of [100, 300, 700, 1000, 1200, 1500]) {
		const raw = await connect();
		raw.socket.end(Buffer.concat(Array(n).fill(requestText('GET', '/health/live'))));
		for (let i = 0; i < n; i++)
			assert.equal((await raw.response()).status, 200, `answer ${i} of ${n}`);
		await raw.waitClosed();
	}
}, { seconds: 20 });

test('nothing follows our close frame', async () => {
	for (let i = 0; i < 20; i++) {
		const raw = await upgraded(), channel = newChannel();
		raw.send(textFrame({ type: 'subscribe', channel }));
		assert.equal((await raw.json()).type, 'subscribed');
		raw.send(Buffer.concat([...Array(3).fill(textFrame({ type: 'publish', channel, data: 1 })),
			frame(OP.close, Buffer.of(3, 232))]));
		let closed = false;
		for (let f; (f = await raw.frame()) !== undefined;) {
			assert.ok(!closed, `frame ${f.op} ${f.payload} behind the close frame`);
			closed = f.op === OP.close;
		}
		assert.ok(closed);
	}
});

// Publishes 60000 bytes after the other until `until` says so.
async function flood(channel, until) {
	const raw = await connect();
	while (!until()) {
		raw.send(post(channel, big(60000)));
		assert.equal((await raw.response()).status, 202);
	}
}

test('a reader that lags all the time is heard, and not taken for silent', async () => {
	const channel = newChannel();
	const socket = net.connect({ host, port });
	const client = await upgraded();
	const got = [];
	let done = false;
	atEnd(() => { done = true; socket.destroy(); });
	client.send(textFrame({ type: 'subscribe', channel }));
	assert.equal((await client.json()).type, 'subscribed');
	client.socket.pause();
	const flooding = flood(channel, () => done);
	const begin = Date.now();
	let pongs = 0, asked = 0, ended = false;
	(async () => {
		for (let f; (f = await client.frame()) !== undefined;) {
			if (f.op === OP.text && f.payload.length < 100 && f.payload.includes('pong'))
				pongs++;
			assert.notEqual(f.op, OP.close);
		}
		ended = true;
	})();
	while (Date.now() - begin < 7000 && !ended) {
		client.socket.resume();
		await sleep(5);
		client.socket.pause();
		if (asked++ % 10 === 0)
			client.send(textFrame({ type: 'ping' }));
		await sleep(20);
	}
	done = true;
	await flooding;
	assert.ok(!ended, 'the connection was ended');
	const behind = pongs;
	assert.ok(behind >= 3, `${behind} pongs while it lagged`);
}, { seconds: 30 });

test('what is told while the server stops is torn nowhere', async () => {
	const clients = await Promise.all(Array.from({ length: 60 }, () => upgraded()));
	let going = true, answers = 0;
	atEnd(() => { going = false; });
	const talk = async (raw, id) => {
		let n = 0, expected = 0;
		const pump = (async () => {
			while (going && !raw.ended) {
				raw.send(Buffer.concat(Array.from({ length: 8 },
					() => textFrame({ type: 'nothing', id: `${id}-${n++}` }))));
				await sleep(3);
			}
		})();
		for (let f; (f = await raw.frame()) !== undefined;) {
			if (f.op === OP.close) {
				assert.equal(f.payload.readUInt16BE(0), 1001);
				break;
			}
			if (f.op !== OP.text)
				continue;
			assert.equal(JSON.parse(f.payload).id, `${id}-${expected++}`);
			answers++;
		}
		raw.socket.destroy();
		await pump;
	};
	const all = Promise.all(clients.map(talk));
	await sleep(500);
	process.kill(Number(process.env.SERVER), 'SIGQUIT');
	await all;
	assert.ok(answers > 1000);
}, { seconds: 20 });

run();
