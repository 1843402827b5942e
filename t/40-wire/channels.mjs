// The channel dialect, /ws/channels: every message and every error of it.
import { assert, atEnd, newChannel, run, server, sleep, test } from './tap.mjs';
import { enter, publishMany, rawMember } from './room.mjs';
import { eventsPath, post, requestText, connect } from './raw.mjs';

// --- subscribe, publish, events ---

test('a subscription begins at seq 0 of a new channel and has no `recovered`', async () => {
	const room = await enter(), answer = await room.subscribe(newChannel());
	assert.equal(answer.seq, 0);
	assert.ok(!('recovered' in answer));
});

test('an event reaches its sender and everybody else with the seq of the answer', async () => {
	const channel = newChannel(), ann = await enter(), bob = await enter();
	const { epoch } = await ann.subscribe(channel);
	assert.equal((await bob.subscribe(channel)).epoch, epoch);
	ann.send({ type: 'publish', channel, data: { hello: 1 }, id: 'c1' });
	const both = await ann.take(2);
	assert.deepEqual(both.find(m => m.type === 'published'),
		{ type: 'published', id: 'c1', channel, seq: 1 });
	const event = { type: 'event', channel, seq: 1, data: { hello: 1 } };
	assert.deepEqual(both.find(m => m.type === 'event'), event);
	assert.deepEqual(await bob.next(), event);
});

test('seq counts from 1 without holes, and each channel has its own', async () => {
	const a = newChannel(), b = newChannel(), room = await enter();
	for (let i = 1; i <= 5; i++) {
		assert.equal(await room.publish(a, i), i);
		assert.equal(await room.publish(b, i), i);
	}
	assert.equal((await room.subscribe(a)).seq, 5);
});

test('a publisher needs no subscription and gets no event without one', async () => {
	const room = await enter();
	await room.publish(newChannel(), 1, { id: 'x' });
	await room.expectNothing();
});

test('an answer to a publish without id has no id', async () => {
	const room = await enter(), channel = newChannel();
	room.send({ type: 'publish', channel, data: 1 });
	assert.deepEqual(await room.next(), { type: 'published', channel, seq: 1 });
});

test('ids come back as they were, whatever is in them', async () => {
	const room = await enter(), channel = newChannel();
	for (const id of ['', 'a"b\\c', 'é😀', '\u0001\n', 'x'.repeat(60)]) {
		room.send({ type: 'publish', channel, data: 1, id });
		assert.equal((await room.expect('published')).id, id);
	}
});

test('"echo": false spares the sender its own event and nobody else', async () => {
	const channel = newChannel(), ann = await enter(), bob = await enter();
	await ann.subscribe(channel);
	await bob.subscribe(channel);
	assert.equal(await ann.publish(channel, 'quiet', { echo: false }), 1);
	assert.equal((await bob.expect('event')).seq, 1);
	assert.equal(await bob.publish(channel, 'loud', { echo: false }), 2);
	assert.equal((await ann.expect('event')).seq, 2);
	ann.send({ type: 'publish', channel, data: 'mine', echo: true });
	assert.deepEqual((await ann.take(2)).map(m => m.type).sort(), ['event', 'published']);
	assert.equal((await bob.expect('event')).seq, 3);
	await ann.expectNothing();
	await bob.expectNothing();
});

test('members may come in any order, with blanks between and unknown ones among them', async () => {
	const channel = newChannel(), room = await enter();
	await room.subscribe(channel);
	room.send(`\r\n{ "data" : {"type":"x","data":[1]} ,\t"future":{"a":[{}]}, "echo":true,` +
		`"channel"\n:"${channel}" , "id":"7","type" : "publish" } `);
	const got = await room.take(2);
	assert.equal(got.find(m => m.type === 'published').id, '7');
	assert.deepEqual(got.find(m => m.type === 'event').data, { type: 'x', data: [1] });
});

const peculiar = [
	'{ "a" : 1 ,\t"b":[ 1,2 ] }', '[\n1\r\n]', '"\\u00e9\\u0041\\/"', '"\\u0000\\u001f"', '"\\ud83d\\ude00"', '"😀 é \u007f"',
	'1e400', '123456789012345678901234567890', '-0.0', '1E+2', '0.1000', 'null', 'true', 'false', '[]', '{}', '""', '0',
	'{"a":1,"a":2}', '{"__proto__":1}', '"</script>\u2028"', '{"seq":7,"channel":"x","type":"event","data":{"data":1}}',
	'"\\"}\\\\"', '[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]',
];

test('data reach subscribers byte for byte', async () => {
	const channel = newChannel(), ann = await enter(), bob = await enter();
	await bob.subscribe(channel);
	for (const data of peculiar) {
		ann.send(`{"type":"publish","channel":"${channel}","data":${data}}`);
		await ann.expect('published');
		await bob.expect('event');
		assert.equal(rawMember(bob.lastText, 'data'), data);
	}
});

test('blanks around data do not belong to them', async () => {
	const channel = newChannel(), ann = await enter(), bob = await enter();
	await bob.subscribe(channel);
	ann.send(`{"type":"publish","channel":"${channel}","data": \n [ 1 ] \t}`);
	await ann.expect('published');
	await bob.expect('event');
	assert.match(bob.lastText, /"data":\[ 1 \][,}]/);
});

test('a missed event is the same byte for byte when it is resumed', async () => {
	const channel = newChannel(), ann = await enter();
	const { epoch } = await ann.subscribe(channel);
	for (const data of peculiar)
		ann.send(`{"type":"publish","channel":"${channel}","data":${data},"echo":false}`);
	for (const _ of peculiar)
		await ann.expect('published');
	const bob = await enter();
	await bob.subscribe(channel, { since: { epoch, seq: 0 } });
	for (const data of peculiar) {
		await bob.expect('event');
		assert.equal(rawMember(bob.lastText, 'data'), data);
	}
});

test('60 000 bytes go through, and a message of exactly max_message is answered', async () => {
	const channel = newChannel(), room = await enter(), big = 'y'.repeat(60000);
	await room.subscribe(channel);
	room.send({ type: 'publish', channel, data: big });
	assert.equal((await room.take(2)).find(m => m.type === 'event').data, big);
	const shell = JSON.stringify({ type: 'publish', channel, id: '1', echo: false, data: '' });
	room.send({ type: 'publish', channel, id: '1', echo: false, data: 'z'.repeat(server.maxMessage - shell.length) });
	const answer = await room.next();		// its event may be longer than it
	assert.ok(answer.type === 'published' || answer.code === 'too_large', JSON.stringify(answer).slice(0, 200));
	assert.equal(answer.id, '1');
	await room.expectNothing();
});

test('a message over max_message closes with 1009', async () => {
	const room = await enter(), shell = JSON.stringify({ type: 'publish', channel: 'x', data: '' });
	room.send({ type: 'publish', channel: 'x', data: 'z'.repeat(server.maxMessage - shell.length + 1) });
	assert.equal(await room.waitClosed(), 1009);
});

// --- channel names ---

test('letters, digits and _ - . : / @ make names of 1 to 128 bytes', async () => {
	const room = await enter(), tail = newChannel();
	for (const channel of ['a', 'Z', '0', `_-.:/@${tail}`, `//${tail}`, `..${tail}`, tail.padEnd(128, 'x')]) {
		await room.subscribe(channel);
		room.send({ type: 'unsubscribe', channel });
		await room.expect('unsubscribed');
	}
});

test('other names are bad_channel, for subscribe, unsubscribe and publish', async () => {
	const room = await enter();
	for (const channel of ['', 'a b', 'é', 'a\u0000b', 'a\n', 'a"b', 'a\\b', '*', '#', 'x'.repeat(129)]) {
		for (const type of ['subscribe', 'publish']) {
			room.send({ type, channel, data: 1, id: 'n' });
			await room.expectError('bad_channel', 'n');
		}
		room.send({ type: 'unsubscribe', channel, id: 'n' });
		await room.expectError(['bad_channel', 'not_subscribed'], 'n');
	}
});

test('nobody publishes to a name that begins with $', async () => {
	const room = await enter();
	room.send({ type: 'publish', channel: '$server', data: 1, id: 'n' });
	await room.expectError(['bad_channel', 'forbidden'], 'n');
});

// --- errors ---

test('what is not JSON is bad_json, and the connection stays', async () => {
	const room = await enter();
	for (const text of ['', ' ', '{', '{"type":"ping"', '{"type":"ping"}x', '{"type":"ping"}{}', "{'type':'ping'}",
		'{"type":"ping",}', '{type:1}', '{"type":"ping","x":01}', '{"type":"ping","x":1.}', '{"type":"ping","x":.5}',
		'{"type":"ping","x":+1}', '{"type":"ping","x":NaN}', '{"type":"ping","x":"\t"}', '{"type":"ping","x":"\\x"}',
		'{"type":"ping","x":"\\u12g4"}', '{"type":"ping","x":tru}', '{"type":"ping","x":[1 2]}', '{"type":"ping","x":{1:2}}',
		'{"type":"ping","x":[}', '\ufeff{"type":"ping"}', 'ping', '//', '{"type" "ping"}']) {
		room.send(text);
		await room.expectError('bad_json');
	}
	await room.expectNothing();
});

test('data that are not JSON are bad_json and no event', async () => {
	const channel = newChannel(), room = await enter();
	for (const data of ['', '{', 'undefined', '01', "'a'", '[1,]', '{"a"}', '"\n"', '1 2']) {
		room.send(`{"type":"publish","channel":"${channel}","id":"c","data":${data}}`);
		await room.expectError('bad_json');
	}
	assert.equal(await room.publish(channel, 1), 1);
});

test('JSON that is no request is bad_request', async () => {
	const room = await enter();
	for (const text of ['1', '"ping"', 'null', '[]', '[{"type":"ping"}]', '{}', '{"type":1}', '{"type":null}']) {
		room.send(text);
		await room.expectError(['bad_request', 'bad_json']);
	}
	await room.expectNothing();
});

test('a missing or wrong member is bad_request', async () => {
	const room = await enter(), channel = newChannel();
	for (const message of [
		{ type: 'publish', channel }, { type: 'subscribe', channel, since: 1 },
		{ type: 'subscribe', channel, since: {} }, { type: 'subscribe', channel, since: { epoch: 'x' } },
		{ type: 'subscribe', channel, since: { seq: 1 } },
		{ type: 'subscribe', channel, since: { epoch: '0123456789abcdef', seq: -1 } },
		{ type: 'subscribe', channel, since: { epoch: '0123456789abcdef', seq: 'x' } },
		{ type: 'subscribe', channel, since: { epoch: '0123456789abcdef', seq: 1.5 } },
		{ type: 'publish', channel, data: 1, echo: 'no' },
	]) {
		room.send({ ...message, id: 'b' });
		await room.expectError('bad_request', 'b');
	}
	for (const type of ['subscribe', 'unsubscribe', 'publish']) {
		for (const wrong of [undefined, 1, null, {}, []]) {
			room.send({ type, channel: wrong, data: 1, id: 'b' });
			await room.expectError(['bad_request', 'bad_channel'], 'b');
		}
	}
	await room.expectNothing();
});

test('an unknown type is unknown_type', async () => {
	const room = await enter();
	for (const type of ['', 'Publish', 'event', 'published', 'pong', 'subscribe ', 'x'.repeat(1000)]) {
		room.send({ type, channel: 'a', id: 'u' });
		await room.expectError('unknown_type', 'u');
	}
});

test('leaving what one is not in is not_subscribed', async () => {
	const room = await enter(), channel = newChannel();
	room.send({ type: 'unsubscribe', channel, id: 'u' });
	await room.expectError('not_subscribed', 'u');
	await room.subscribe(channel);
	room.send({ type: 'unsubscribe', channel });
	assert.deepEqual(await room.next(), { type: 'unsubscribed', channel });
	room.send({ type: 'unsubscribe', channel, id: 'u' });
	await room.expectError('not_subscribed', 'u');
});

const nested = depth => '['.repeat(depth) + ']'.repeat(depth);

test('JSON deeper than json_depth is refused', async () => {
	const room = await enter(), channel = newChannel();
	room.send(`{"type":"publish","channel":"${channel}","data":${nested(server.jsonDepth - 2)}}`);
	await room.expect('published');
	for (const depth of [server.jsonDepth + 1, 5000]) {
		room.send(`{"type":"publish","channel":"${channel}","data":${nested(depth)}}`);
		await room.expectError(['bad_json', 'bad_request']);
	}
	await room.expectNothing();
});

// --- since ---

async function withEvents(n) {
	const channel = newChannel(), room = await enter();
	const { epoch } = await room.subscribe(channel);
	for (let i = 1; i <= n; i++)
		room.send({ type: 'publish', channel, data: i, echo: false });
	for (let i = 1; i <= n; i++)
		await room.expect('published');
	return { channel, epoch };
}

test('since: the missed events follow the answer, then the live ones', async () => {
	const { channel, epoch } = await withEvents(10), room = await enter();
	const answer = await room.subscribe(channel, { since: { epoch, seq: 4 } });
	assert.deepEqual(answer, { type: 'subscribed', channel, epoch, seq: 10, recovered: true });
	for (let seq = 5; seq <= 10; seq++)
		assert.deepEqual(await room.next(), { type: 'event', channel, seq, data: seq });
	await (await enter()).publish(channel, 'live');
	assert.deepEqual(await room.next(), { type: 'event', channel, seq: 11, data: 'live' });
});

test('since: from 0 all, from the newest none', async () => {
	const { channel, epoch } = await withEvents(3), room = await enter();
	assert.equal((await room.subscribe(channel, { since: { epoch, seq: 3 } })).recovered, true);
	await room.expectNothing();
	assert.equal((await room.subscribe(channel, { since: { epoch, seq: 0 } })).recovered, true);
	assert.deepEqual((await room.take(3)).map(m => m.seq), [1, 2, 3]);
	await room.expectNothing();
});

test('since: another epoch is not recovered and gets no old events', async () => {
	const { channel, epoch } = await withEvents(3), room = await enter();
	for (const other of ['0000000000000000', epoch.replace(/./g, c => c === 'a' ? 'b' : 'a')]) {
		const answer = await room.subscribe(channel, { since: { epoch: other, seq: 1 } });
		assert.deepEqual(answer, { type: 'subscribed', channel, epoch, seq: 3, recovered: false });
		await room.expectNothing();
	}
	await room.publish(newChannel(), 1);
	assert.equal(await (await enter()).publish(channel, 4), 4);
	assert.equal((await room.expect('event')).seq, 4);
});

test('since: a seq above the newest is not recovered', async () => {
	const { channel, epoch } = await withEvents(3), room = await enter();
	for (const seq of [4, 1000, Number.MAX_SAFE_INTEGER])
		assert.equal((await room.subscribe(channel, { since: { epoch, seq } })).recovered, false);
	await room.expectNothing();
});

test('since: a channel that never was is not recovered', async () => {
	const room = await enter(), since = { epoch: '0123456789abcdef', seq: 5 };
	const answer = await room.subscribe(newChannel(), { since });
	assert.equal(answer.recovered, false);
	assert.equal(answer.seq, 0);
});

test('since: what the history has dropped is not recovered, what it keeps is', async () => {
	const channel = newChannel(), room = await enter(), newest = server.history * 2 + 5;
	const { epoch } = await room.subscribe(channel);
	room.send({ type: 'unsubscribe', channel });
	await room.expect('unsubscribed');
	await publishMany(channel, newest);
	let answer = await room.subscribe(channel, { since: { epoch, seq: 1 } });
	assert.equal(answer.recovered, false);
	await room.expectNothing();
	answer = await room.subscribe(channel, { since: { epoch, seq: newest - server.history } });
	assert.equal(answer.recovered, true);
	assert.equal(answer.seq, newest);
	for (let seq = newest - server.history + 1; seq <= newest; seq++)
		assert.equal((await room.expect('event')).seq, seq);
	await room.expectNothing();
}, { seconds: 30 });

test('since: coming back again and again under traffic loses and doubles nothing', async () => {
	const channel = newChannel(), sender = await enter();
	let room = await enter(), { epoch, seq: last } = await room.subscribe(channel), sent = 0;
	const timer = setInterval(() => { sent++; sender.send({ type: 'publish', channel, data: sent }); }, 2);
	atEnd(() => clearInterval(timer));
	for (let visit = 0; visit < 20; visit++) {
		for (let i = 0; i < 10; i++) {
			const event = await room.expect('event');
			assert.equal(event.seq, last + 1);
			assert.equal(event.data, event.seq);
			last = event.seq;
		}
		room.socket.terminate();
		await sleep(visit);
		room = await enter();
		const answer = await room.subscribe(channel, { since: { epoch, seq: last } });
		assert.equal(answer.recovered, true);
	}
}, { seconds: 20 });

// --- more than one subscription ---

test('a second subscribe to the same channel replaces the first', async () => {
	const { channel, epoch } = await withEvents(3), room = await enter(), other = await enter();
	await room.subscribe(channel);
	assert.equal((await room.subscribe(channel)).seq, 3);
	await other.publish(channel, 4);
	assert.equal((await room.expect('event')).seq, 4);
	await room.expectNothing();
	assert.equal((await room.subscribe(channel, { since: { epoch, seq: 2 } })).recovered, true);
	assert.deepEqual((await room.take(2)).map(m => m.seq), [3, 4]);
	await other.publish(channel, 5);
	assert.equal((await room.expect('event')).seq, 5);
	room.send({ type: 'unsubscribe', channel });
	await room.expect('unsubscribed');
	await other.publish(channel, 6);
	await room.expectNothing();
});

test('after unsubscribed nothing of that channel comes, of others it does', async () => {
	const a = newChannel(), b = newChannel(), room = await enter(), other = await enter();
	await room.subscribe(a);
	await room.subscribe(b);
	room.send({ type: 'unsubscribe', channel: a });
	await room.expect('unsubscribed');
	await other.publish(a, 1);
	await other.publish(b, 1);
	assert.equal((await room.expect('event')).channel, b);
	await room.expectNothing();
});

test('subscriptions_max subscriptions all get their events; one more is full', async () => {
	const room = await enter(), other = await enter();
	const channels = Array.from({ length: server.subscriptionsMax }, () => newChannel());
	for (const channel of channels)
		await room.subscribe(channel);
	room.send({ type: 'subscribe', channel: newChannel(), id: 'f' });
	await room.expectError('full', 'f');
	await room.subscribe(channels[0]);		// one that is there already is no new one
	for (const channel of channels)
		await other.publish(channel, channel);
	const events = await room.take(channels.length);
	assert.deepEqual(events.map(m => m.data).sort(), [...channels].sort());
	room.send({ type: 'unsubscribe', channel: channels[5] });
	await room.expect('unsubscribed');
	await room.subscribe(newChannel());
	room.send({ type: 'subscribe', channel: channels[5], id: 'f' });
	await room.expectError('full', 'f');
});

test('an event by HTTP reaches WebSocket subscribers, names with a slash too', async () => {
	const channel = `a/b@${newChannel()}`, room = await enter();
	const { epoch } = await room.subscribe(channel);
	assert.deepEqual(await post(channel, '{"x": 1.0}'), { channel, epoch, seq: 1 });
	await room.expect('event');
	assert.equal(rawMember(room.lastText, 'data'), '{"x": 1.0}');
	const raw = await connect();
	raw.send(requestText('GET', eventsPath(channel)));
	assert.equal((await raw.response()).json.seq, 1);
});

// --- the rest ---

test('ping gets pong, server tells about itself', async () => {
	const room = await enter();
	room.send({ type: 'ping' });
	assert.deepEqual(await room.next(), { type: 'pong' });
	room.send({ type: 'server' });
	const about = await room.expect('server');
	assert.ok(Number.isInteger(about.slot) && about.slot >= 0 && about.slot < 64);
	assert.ok(Number.isInteger(about.deaths) && about.deaths >= 0);
	assert.match(about.version, /^\d+\.\d+/);
});

test('answers come in the order of the questions', async () => {
	const room = await enter(), channel = newChannel();
	for (let i = 0; i < 50; i++) {
		room.send({ type: 'publish', channel, data: i, id: String(i) });
		room.send({ type: 'ping' });
		room.send('{');
		room.send({ type: 'nonsense', id: `n${i}` });
	}
	for (let i = 0; i < 50; i++) {
		assert.deepEqual(await room.next(), { type: 'published', id: String(i), channel, seq: i + 1 });
		await room.expect('pong');
		await room.expectError('bad_json');
		await room.expectError('unknown_type', `n${i}`);
	}
});

test('faster than message_rate is rate_limited, each message is answered, the connection stays', async () => {
	const room = await enter(), channel = newChannel(), burst = server.messageRate + 500, began = Date.now();
	for (let i = 1; i <= burst; i++)
		room.send({ type: 'publish', channel, data: i, id: String(i) });
	const answers = await room.take(burst), seconds = (Date.now() - began) / 1000;
	assert.deepEqual(answers.map(m => m.id), answers.map((_, i) => String(i + 1)));
	const good = answers.filter(m => m.type === 'published'), bad = answers.filter(m => m.type === 'error');
	assert.equal(good.length + bad.length, burst);
	assert.ok(bad.every(m => m.code === 'rate_limited'), JSON.stringify(bad.find(m => m.code !== 'rate_limited')));
	assert.ok(good.length >= server.messageRate * 0.9, `${good.length} were accepted`);
	assert.ok(good.length <= server.messageRate * (1 + seconds), `${good.length} were accepted in ${seconds} s`);
	assert.deepEqual(good.map(m => m.seq), good.map((_, i) => i + 1));
	await sleep(1200);
	await room.publish(channel, 'again');
}, { seconds: 20 });

await run();
