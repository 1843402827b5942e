// One order for everybody: who subscribes, however and wherever, sees the same events with the same
// numbers, and those numbers are the ones that the publishers were told.
import { assert, newChannel, run, test } from './tap.mjs';
import { enter } from './room.mjs';
import { connect, eventsPath, history, post, requestText } from './raw.mjs';
import { openStream } from './stream.mjs';

const times = (n, make) => Promise.all(Array.from({ length: n }, (_, i) => make(i)));

// Takes n events of a room, leaving answers out.
async function events(room, n) {
	const seen = [];
	while (seen.length < n) {
		const message = await room.next();
		if (message.type === 'event')
			seen.push([message.seq, message.data]);
		else
			assert.equal(message.type, 'published', JSON.stringify(message));
	}
	return seen;
}

const contiguous = n => Array.from({ length: n }, (_, i) => i + 1);

test('50 clients that create one channel at the same moment create one', async () => {
	const channel = newChannel(), rooms = await times(50, () => enter());
	rooms.forEach((room, i) => room.send({ type: 'publish', channel, data: i, id: String(i) }));
	const answers = await Promise.all(rooms.map(room => room.expect('published')));
	assert.deepEqual(answers.map(m => m.seq).sort((a, b) => a - b), contiguous(50));
	const kept = await history(channel);
	assert.equal(kept.seq, 50);
	for (const { seq, data } of kept.events)
		assert.equal(answers[data].seq, seq);
});

test('50 clients that subscribe to one new channel at the same moment are told one epoch', async () => {
	const channel = newChannel(), rooms = await times(50, () => enter());
	const answers = await Promise.all(rooms.map(room => room.subscribe(channel)));
	assert.equal(new Set(answers.map(m => m.epoch)).size, 1);
	const { epoch, seq } = await post(channel, '1');
	assert.equal(epoch, answers[0].epoch);
	assert.equal(seq, 1);
	await Promise.all(rooms.map(room => room.expect('event')));
});

test('half by HTTP, half by WebSocket: still one channel with one epoch', async () => {
	const channel = newChannel(), rooms = await times(25, () => enter());
	const made = await Promise.all([
		...rooms.map(async (room, i) => ({ seq: await room.publish(channel, i) })),
		...contiguous(25).map(i => post(channel, String(i + 100))),
	]);
	assert.deepEqual(made.map(m => m.seq).sort((a, b) => a - b), contiguous(50));
	assert.equal(new Set(made.map(m => m.epoch).filter(Boolean)).size, 1);
});

test('2 publishers, 20 subscribers: everybody sees the same order', async () => {
	const channel = newChannel(), n = 200;
	const rooms = await times(20, () => enter()), senders = await times(2, () => enter());
	await Promise.all(rooms.map(room => room.subscribe(channel)));
	for (let i = 0; i < n; i++)
		senders.forEach((sender, s) => sender.send({ type: 'publish', channel, data: `${s}:${i}` }));
	const all = await Promise.all(rooms.map(room => events(room, 2 * n)));
	assert.deepEqual(all[0].map(([seq]) => seq), contiguous(2 * n));
	for (const seen of all)
		assert.deepEqual(seen, all[0]);
	for (const s of [0, 1]) {
		const own = all[0].filter(([, data]) => data.startsWith(`${s}:`));
		assert.deepEqual(own.map(([, data]) => data), contiguous(n).map(i => `${s}:${i - 1}`));
		for (const [seq] of own)
			assert.equal((await senders[s].expect('published')).seq, seq);
	}
}, { seconds: 20 });

test('publishers that listen see their own events in that order, too', async () => {
	const channel = newChannel(), n = 100, rooms = await times(5, () => enter());
	await Promise.all(rooms.map(room => room.subscribe(channel)));
	for (let i = 0; i < n; i++)
		rooms.forEach((room, r) => room.send({ type: 'publish', channel, data: `${r}:${i}` }));
	const all = await Promise.all(rooms.map(room => events(room, 5 * n)));
	for (const seen of all)
		assert.deepEqual(seen, all[0]);
}, { seconds: 20 });

test('WebSocket, POST, streams and history agree', async () => {
	const channel = newChannel(), n = 100;
	const rooms = await times(5, () => enter()), streams = await times(5, () => openStream(channel));
	const sender = await enter(), raw = await connect();
	await Promise.all(rooms.map(room => room.subscribe(channel)));
	const told = new Map();
	const byPost = (async () => {
		for (let i = 0; i < n; i++) {
			raw.send(requestText('POST', eventsPath(channel), { body: `"post:${i}"` }));
			told.set((await raw.response()).json.seq, `post:${i}`);
		}
	})();
	for (let i = 0; i < n; i++)
		told.set(await sender.publish(channel, `ws:${i}`), `ws:${i}`);
	await byPost;
	const seen = await Promise.all(rooms.map(room => events(room, 2 * n)));
	for (const stream of streams) {
		const events_ = [];
		for (let i = 0; i < 2 * n; i++) {
			const event = await stream.event();
			events_.push([event.seq, JSON.parse(event.data)]);
		}
		seen.push(events_);
	}
	seen.push((await history(channel)).events.map(e => [e.seq, e.data]));
	const expected = contiguous(2 * n).map(seq => [seq, told.get(seq)]);
	for (const one of seen)
		assert.deepEqual(one, expected);
}, { seconds: 20 });

await run();
