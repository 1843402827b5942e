// Idempotency-Key on a publish: once, whoever asks, and everybody gets the first answer.
import crypto from 'node:crypto';
import { assert, newChannel, run, sleep, test } from './tap.mjs';
import { connect, eventsPath, history, request, requestText } from './raw.mjs';

const newKey = () => crypto.randomUUID();

const keyed = (channel, key, body = '1', headers = {}) => [
	'POST', eventsPath(channel), { headers: { 'Idempotency-Key': key, ...headers }, body },
];

async function publish(channel, key, body) {
	const answer = await request(...keyed(channel, key, body));
	assert.equal(answer.status, 202, answer.text);
	return answer.json;
}

async function counter(name) {
	const page = await request('GET', '/metrics');
	return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(page.text)?.[1]);
}

test('the same key gets the first answer and publishes nothing', async () => {
	const channel = newChannel('idem'), key = newKey();
	const before = await counter('plenum_idempotent_total');
	const first = await publish(channel, key, '{"n":1}');
	assert.equal(first.seq, 1);
	for (let i = 0; i < 5; i++)
		assert.deepEqual(await publish(channel, key, `{"n":${i}}`), first);
	const { events, seq, epoch } = await history(channel);
	assert.equal(seq, 1);
	assert.equal(epoch, first.epoch);
	assert.deepEqual(events.map(event => event.data), [{ n: 1 }]);
	assert.ok(await counter('plenum_idempotent_total') >= before + 5, 'they are counted');
});

test('the answer stays the first one when others have published since', async () => {
	const channel = newChannel('idem'), key = newKey();
	await publish(channel, newKey());
	const first = await publish(channel, key);
	assert.equal(first.seq, 2);
	await publish(channel, newKey());
	await request('POST', eventsPath(channel), { body: '2' });
	assert.deepEqual(await publish(channel, key), first);
	assert.equal((await history(channel)).seq, 4);
});

test('another channel, another key and no key are others', async () => {
	const channel = newChannel('idem'), other = newChannel('idem'), key = newKey();
	assert.equal((await publish(channel, key)).seq, 1);
	assert.equal((await publish(other, key)).seq, 1);
	assert.equal((await publish(channel, `${key}x`)).seq, 2);
	assert.equal((await publish(channel, key.toUpperCase())).seq, 3);
	for (let i = 0; i < 2; i++)
		await request('POST', eventsPath(channel), { body: '1' });
	assert.equal((await history(channel)).seq, 5);
	assert.equal((await history(other)).seq, 1);
});

test('fifty at once with one key are one event', async () => {
	const channel = newChannel('idem'), key = newKey();
	const raws = await Promise.all(Array.from({ length: 10 }, connect));
	const text = requestText(...keyed(channel, key, '"once"'));
	for (const raw of raws)
		raw.send(Buffer.concat(Array(5).fill(text)));
	const answers = (await Promise.all(raws.map(async raw => {
		const mine = [];
		while (mine.length < 5)
			mine.push(await raw.response());
		return mine;
	}))).flat();
	const accepted = answers.filter(answer => answer.status === 202);
	for (const answer of answers.filter(answer => answer.status !== 202)) {
		assert.equal(answer.status, 409, answer.text);
		assert.equal(answer.json.error, 'conflict');
		assert.match(answer.headers['retry-after'], /^\d+$/);
	}
	assert.ok(accepted.length > 0, 'one at least is accepted');
	assert.equal(new Set(accepted.map(answer => answer.text)).size, 1, 'all accepted are told the same');
	const { seq, events } = await history(channel);
	assert.equal(seq, 1);
	assert.deepEqual(events.map(event => event.data), ['once']);
});

test('many keys at once are an event each, and their replays give the same seq', async () => {
	const channel = newChannel('idem'), keys = Array.from({ length: 40 }, newKey);
	const raws = await Promise.all(Array.from({ length: 8 }, connect));
	const ask = async raw => {
		const seqs = [];
		for (const key of keys) {
			let answer;
			do {
				raw.send(requestText(...keyed(channel, key, JSON.stringify(key))));
				answer = await raw.response();
				assert.ok(answer.status === 202 || answer.status === 409, answer.text);
				if (answer.status === 409)
					await sleep(1);
			} while (answer.status === 409);
			seqs.push(answer.json.seq);
		}
		return seqs;
	};
	const [first, ...others] = await Promise.all(raws.map(ask));
	for (const seqs of others)
		assert.deepEqual(seqs, first);
	const { events } = await history(channel);
	assert.equal(events.length, keys.length);
	keys.forEach((key, i) => assert.equal(events.find(event => event.seq === first[i]).data, key));
});

test('a key of 128 printable characters is one, quotes and blanks within are part of it', async () => {
	const channel = newChannel('idem');
	for (const key of ['k'.repeat(128), '"quoted"', 'quoted', 'a b', '~!#$%&*(),;=[]{}']) {
		const first = await publish(channel, key);
		assert.deepEqual(await publish(channel, key), first);
	}
	assert.equal((await history(channel)).seq, 5);
});

test('a key that is empty, too long or not printable is 400, and nothing is published', async () => {
	const channel = newChannel('idem');
	for (const key of ['', 'k'.repeat(129), 'caf\u00e9', 'a\tb']) {
		const answer = await request(...keyed(channel, key));
		assert.equal(answer.status, 400, JSON.stringify(key));
		assert.equal(answer.json.error, 'bad_request');
	}
	assert.equal((await history(channel)).seq, 0);
});

test('two keys on one request are 400', async () => {
	const channel = newChannel('idem');
	const answer = await request('POST', eventsPath(channel),
		{ headers: { 'Idempotency-Key': 'a', 'idempotency-key': 'a' }, body: '1' });
	assert.equal(answer.status, 400);
	assert.equal((await history(channel)).seq, 0);
});

test('what is refused for its body does not use up the key', async () => {
	const channel = newChannel('idem'), key = newKey();
	assert.equal((await request(...keyed(channel, key, '{bad'))).status, 400);
	assert.equal((await publish(channel, key)).seq, 1);
});

run();
