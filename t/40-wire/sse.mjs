// Event streams: GET /api/channels/{channel}/events with Accept: text/event-stream.
import { assert, newChannel, run, server, sleep, test } from './tap.mjs';
import { connect, eventsPath, post, request, requestText } from './raw.mjs';
import { enter, publishMany } from './room.mjs';
import { openStream } from './stream.mjs';

async function withEvents(n) {
	const channel = newChannel('sse');
	let epoch;
	for (let i = 1; i <= n; i++)
		({ epoch } = await post(channel, String(i)));
	return { channel, epoch };
}

// Publishes one more and expects it next.
async function expectLive(stream, channel, data = '"live"') {
	const { epoch, seq } = await post(channel, data);
	const event = await stream.event();
	assert.deepEqual([event.epoch, event.seq, event.data, event.event], [epoch, seq, data, undefined]);
}

async function expectGap(stream, epoch, seq) {
	const gap = await stream.event();
	assert.equal(gap.event, 'gap');
	assert.deepEqual(JSON.parse(gap.data), { epoch, seq });
}

test('a stream says what it is and is not to be cached', async () => {
	const stream = await openStream(newChannel());
	assert.match(stream.headers['cache-control'] ?? '', /no-(cache|store)/);
	assert.match(stream.headers['x-request-id'], /^[0-9a-f-]{36}$/);
	assert.ok(!('content-length' in stream.headers));
});

test('live events come at once, with id EPOCH:SEQ and data as published', async () => {
	const channel = newChannel(), stream = await openStream(channel);
	for (const data of ['1', '{"a": [1,  2]}', '"ä😀\\n"', 'null', `"${'x'.repeat(30000)}"`])
		await expectLive(stream, channel, data);
});

test('a stream subscribes: the channel exists and its first event is 1', async () => {
	const channel = newChannel(), stream = await openStream(channel), room = await enter();
	const { epoch, seq } = await room.subscribe(channel);
	assert.equal(seq, 0);
	await room.publish(channel, 'x', { echo: false });
	const event = await stream.event();
	assert.deepEqual([event.epoch, event.seq], [epoch, 1]);
});

test('data with line ends are one event', async () => {
	const channel = newChannel(), stream = await openStream(channel);
	for (const data of ['{\n"a":\n1\n}', '[\n\n1]']) {
		await post(channel, data);
		assert.equal((await stream.event()).data, data);
	}
	await post(channel, '{\r\n"a":\r1}');
	assert.deepEqual(JSON.parse((await stream.event()).data), { a: 1 });
	await expectLive(stream, channel);
});

test('Last-Event-ID resumes behind that event', async () => {
	const { channel, epoch } = await withEvents(5);
	const stream = await openStream(channel, { headers: { 'Last-Event-ID': `${epoch}:2` } });
	for (let seq = 3; seq <= 5; seq++) {
		const event = await stream.event();
		assert.deepEqual([event.epoch, event.seq, event.data], [epoch, seq, String(seq)]);
	}
	await expectLive(stream, channel);
});

test('Last-Event-ID of the newest event gets live events only', async () => {
	const { channel, epoch } = await withEvents(3);
	await expectLive(await openStream(channel, { headers: { 'Last-Event-ID': `${epoch}:3` } }), channel);
});

test('since and epoch in the query resume, too, and Last-Event-ID goes before them', async () => {
	const { channel, epoch } = await withEvents(5), query = `?since=3&epoch=${epoch}`;
	let stream = await openStream(channel, { query });
	assert.equal((await stream.event()).seq, 4);
	stream = await openStream(channel, { query, headers: { 'Last-Event-ID': `${epoch}:4` } });
	assert.equal((await stream.event()).seq, 5);
});

test('another epoch, a seq above the newest: a gap event, then live ones', async () => {
	const { channel, epoch } = await withEvents(3);
	for (const of of [() => '0123456789abcdef:1', n => `${epoch}:${n + 1}`, () => `${epoch}:900000`]) {
		const newest = (await post(channel, '0')).seq;
		const stream = await openStream(channel, { headers: { 'Last-Event-ID': of(newest) } });
		const { seq } = await post(channel, '0');
		const gap = await stream.event();
		assert.equal(gap.event, 'gap');
		const told = JSON.parse(gap.data);
		assert.equal(told.epoch, epoch);
		assert.ok(told.seq === seq || told.seq === seq - 1, `${told.seq}, newest is ${seq}`);
		if (told.seq === seq - 1)
			assert.equal((await stream.event()).seq, seq);
		await expectLive(stream, channel);
		stream.close();
	}
});

test('what the history has dropped: a gap event with the newest seq, then live ones', async () => {
	const { channel, epoch } = await withEvents(1), n = server.history * 2;
	await publishMany(channel, n);
	let stream = await openStream(channel, { headers: { 'Last-Event-ID': `${epoch}:1` } });
	await expectGap(stream, epoch, n + 1);
	await expectLive(stream, channel);
	const from = n + 2 - server.history;
	stream = await openStream(channel, { headers: { 'Last-Event-ID': `${epoch}:${from}` } });
	for (let seq = from + 1; seq <= n + 2; seq++)
		assert.equal((await stream.event()).seq, seq);
}, { seconds: 30 });

test('coming back again and again under traffic loses and doubles nothing', async () => {
	const channel = newChannel(), sender = await enter();
	let stream = await openStream(channel), last = 0, id = '', sent = 0;
	const timer = setInterval(() => sender.send({ type: 'publish', channel, data: ++sent }), 2);
	for (let visit = 0; visit < 15; visit++) {
		for (let i = 0; i < 10; i++) {
			const event = await stream.event();
			assert.equal(event.seq, ++last);
			assert.equal(event.data, String(last));
			id = event.id;
		}
		stream.close();
		await sleep(visit);
		stream = await openStream(channel, { headers: { 'Last-Event-ID': id } });
	}
	clearInterval(timer);
}, { seconds: 20 });

test('a stream and its neighbours on other channels do not mix', async () => {
	const channels = Array.from({ length: 5 }, () => newChannel());
	const streams = await Promise.all(channels.map(channel => openStream(channel)));
	for (const channel of [...channels, ...channels].reverse())
		await post(channel, JSON.stringify(channel));
	for (const [i, stream] of streams.entries())
		for (const seq of [1, 2]) {
			const event = await stream.event();
			assert.deepEqual([event.seq, event.data], [seq, JSON.stringify(channels[i])]);
		}
});

test('a bad name or a bad place to resume from is 400 before the stream', async () => {
	const ask = (path, headers = {}) => request('GET', path, { headers: { Accept: 'text/event-stream', ...headers } });
	assert.equal((await ask('/api/channels/a%20b/events')).status, 400);
	assert.equal((await ask(`${eventsPath(newChannel())}?since=1`)).status, 400);
	assert.equal((await ask(`${eventsPath(newChannel())}?since=x&epoch=0123456789abcdef`)).status, 400);
});

test('an id that is none of ours is a gap or 400, never somebody else\'s events', async () => {
	const { channel, epoch } = await withEvents(3);
	for (const id of ['7', 'abc', ':', `${epoch}:`, `${epoch}:x`, `${epoch}:-1`, '']) {
		const raw = await connect();
		raw.send(requestText('GET', eventsPath(channel),
			{ headers: { Accept: 'text/event-stream', 'Last-Event-ID': id } }));
		const answer = await raw.head();
		assert.ok([200, 400].includes(answer.status), `${answer.status} for ${id}`);
		raw.socket.destroy();
	}
});

test('Accept with several types, one of them the stream\'s, gets the stream', async () => {
	const channel = newChannel();
	await expectLive(await openStream(channel, { headers: { Accept: 'text/event-stream, */*;q=0.1' } }), channel);
	const plain = await request('GET', eventsPath(channel), { headers: { Accept: '*/*' } });
	assert.match(plain.headers['content-type'], /^application\/json/);
});

test('streams that go away do not disturb those that stay', async () => {
	const channel = newChannel(), stay = await openStream(channel);
	for (let i = 0; i < 10; i++) {
		const go = await openStream(channel);
		await post(channel, String(i));
		assert.equal((await stay.event()).data, String(i));
		go.close();
	}
	await expectLive(stay, channel);
});

await run();
