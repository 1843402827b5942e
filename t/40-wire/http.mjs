// HTTP on the main listener: connections, methods, limits, publishing, history.
import { assert, newChannel, run, server, sleep, test } from './tap.mjs';
import { connect, eventsPath, history, post, request, requestText } from './raw.mjs';
import { enter, rawMember } from './room.mjs';

const JSON_TYPE = { 'Content-Type': 'application/json' };
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

function assertError(answer, status, code) {
	assert.equal(answer.status, status, answer.text);
	assert.match(answer.headers['content-type'], /^application\/json/);
	assert.deepEqual(Object.keys(answer.json).sort(), ['error', 'message']);
	assert.equal(answer.json.error, code);
	assert.equal(typeof answer.json.message, 'string');
	assert.ok(answer.json.message.length > 0);
}

// --- connections ---

test('a connection serves request after request', async () => {
	const raw = await connect();
	for (let i = 0; i < 5; i++) {
		raw.send(requestText('GET', '/health'));
		const { status, version, headers } = await raw.response();
		assert.deepEqual([status, version], [200, 'HTTP/1.1']);
		assert.notEqual(headers.connection, 'close');
	}
});

test('Connection: close closes after the answer, HTTP/1.0 does so by itself', async () => {
	for (const options of [{ headers: { Connection: 'close' } }, { headers: { Connection: 'Close, x' } }, { version: '1.0' }]) {
		const raw = await connect();
		raw.send(requestText('GET', '/health', options));
		assert.equal((await raw.response()).status, 200);
		await raw.waitClosed();
	}
});

test('HTTP/1.0 without Host is served', async () => {
	const raw = await connect();
	raw.send('GET /health HTTP/1.0\r\n\r\n');
	assert.equal((await raw.response()).status, 200);
});

test('HTTP/1.0 with keep-alive is kept', async () => {
	const raw = await connect();
	for (let i = 0; i < 2; i++) {
		raw.send(requestText('GET', '/health', { version: '1.0', headers: { Connection: 'keep-alive' } }));
		const answer = await raw.response();
		assert.equal(answer.status, 200);
		if (answer.headers.connection?.toLowerCase() !== 'keep-alive')
			return;		// refusing to keep it is good, too
	}
});

test('pipelined requests are answered in their order', async () => {
	const raw = await connect(), channel = newChannel(), n = 50;
	const one = i => [
		requestText('POST', eventsPath(channel), { body: String(i) }), requestText('GET', '/health'),
		requestText('GET', '/nowhere'), requestText('HEAD', '/health'), requestText('DELETE', '/health'),
	];
	raw.send(Buffer.concat(Array.from({ length: n }, (_, i) => one(i)).flat()));
	for (let i = 0; i < n; i++) {
		assert.equal((await raw.response()).json.seq, i + 1);
		assert.equal((await raw.response()).json.status, 'healthy');
		assert.equal((await raw.response()).status, 404);
		assert.equal((await raw.response({ bodyless: true })).status, 200);
		assert.equal((await raw.response()).status, 405);
	}
});

test('pipelined requests behind one with Connection: close are not served', async () => {
	const raw = await connect(), channel = newChannel();
	raw.send(Buffer.concat([requestText('GET', '/health', { headers: { Connection: 'close' } }),
		requestText('POST', eventsPath(channel), { body: '1' })]));
	await raw.response();
	await raw.waitClosed();
	assert.equal(raw.buffer.length, 0);
	assert.equal((await history(channel)).seq, 0);
});

test('a request that is cut at any byte is one request', async () => {
	const channel = newChannel(), raw = await connect();
	const bytes = requestText('POST', eventsPath(channel), { headers: JSON_TYPE, body: '{"a":1}' });
	for (let cut = 1; cut < bytes.length; cut++) {
		raw.send(bytes.subarray(0, cut));
		await sleep(1);
		raw.send(bytes.subarray(cut));
		assert.equal((await raw.response()).json.seq, cut);
	}
}, { seconds: 20 });

test('requests that come byte by byte are served, a chunked one, too', async () => {
	const channel = newChannel(), raw = await connect();
	await raw.sendByteByByte(requestText('GET', '/health'));
	assert.equal((await raw.response()).status, 200);
	await raw.sendByteByByte(`${requestText('POST', eventsPath(channel), { headers: { 'Transfer-Encoding': 'chunked' } })}` +
		'2\r\n[1\r\n3\r\n,2]\r\n0\r\n\r\n');
	assert.equal((await raw.response()).json.seq, 1);
	assert.deepEqual((await history(channel)).events[0].data, [1, 2]);
});

test('Expect: 100-continue is told to continue, and then answered', async () => {
	const channel = newChannel(), raw = await connect();
	const bytes = requestText('POST', eventsPath(channel), { headers: { Expect: '100-continue' }, body: '"later"' });
	raw.send(bytes.subarray(0, -7));
	assert.equal((await raw.response()).status, 100);
	raw.send(bytes.subarray(-7));
	assert.equal((await raw.response()).json.seq, 1);
	raw.send(bytes);		// all at once: a 100 may come, the answer must
	let answer = await raw.response();
	if (answer.status === 100)
		answer = await raw.response();
	assert.equal(answer.json.seq, 2);
});

test('Expect: 100-continue with too long a body is refused without one', async () => {
	const raw = await connect();
	raw.send(requestText('POST', eventsPath(newChannel()),
		{ headers: { Expect: '100-continue', 'Content-Length': server.maxBody + 1 }, body: '' }));
	assertError(await raw.response(), 413, 'too_large');
});

// --- methods and paths ---

test('HEAD is GET without the body', async () => {
	const channel = newChannel();
	await post(channel, '1');
	for (const path of ['/', '/health', '/health/live', '/health/ready', '/metrics', eventsPath(channel)]) {
		const get = await request('GET', path), head = await request('HEAD', path);
		assert.equal(head.status, get.status, path);
		assert.equal(head.headers['content-type'], get.headers['content-type'], path);
		if (path !== '/metrics' && 'content-length' in head.headers && 'content-length' in get.headers)
			assert.equal(head.headers['content-length'], get.headers['content-length'], path);
		const raw = await connect();
		raw.send(Buffer.concat([requestText('HEAD', path), requestText('GET', '/health')]));
		await raw.response({ bodyless: true });
		assert.equal((await raw.response()).json.status, 'healthy', `no body behind HEAD ${path}`);
	}
});

test('an unknown path is 404', async () => {
	for (const path of ['/nowhere', '/health/', '/health/x', '/api', '/api/channels', '/api/channels/', '/api/channels/x',
		'/api/channels//events', '/api/channels/a/b/events', '/api/channels/x/events/', '/../etc/passwd', '/%2e%2e/etc/passwd', '//health'])
		assertError(await request('GET', path), 404, 'not_found');
});

test('a wrong method is 405 and told which are right', async () => {
	for (const [method, path, ...right] of [['POST', '/health', 'GET', 'HEAD'], ['PUT', '/metrics', 'GET', 'HEAD'],
		['DELETE', eventsPath('x'), 'GET', 'HEAD', 'POST'], ['PATCH', eventsPath('x'), 'GET', 'HEAD', 'POST'], ['POST', '/', 'GET', 'HEAD']]) {
		const answer = await request(method, path, { body: '' });
		assertError(answer, 405, 'method_not_allowed');
		const allow = answer.headers.allow.split(/\s*,\s*/);
		for (const one of right)
			assert.ok(allow.includes(one), `${method} ${path}: Allow: ${allow}`);
		assert.ok(!allow.includes(method));
	}
});

test('a method that nobody knows is 405 or 501, never a hang', async () => {
	for (const method of ['BREW', 'get', 'X'.repeat(30)])
		assert.ok([400, 405, 501].includes((await request(method, '/health')).status), method);
});

test('a query does not change the path', async () => {
	for (const query of ['?', '?a=b', '?/nowhere', '?%zz'])
		assert.equal((await request('GET', `/health${query}`)).status, 200, query);
});

// --- limits ---

test('a head over max_header is 431, in one line or in many', async () => {
	const many = Object.fromEntries(Array.from({ length: 400 }, (_, i) => [`X-${i}`, 'y'.repeat(50)]));
	for (const headers of [{ 'X-Long': 'y'.repeat(server.maxHeader) }, many]) {
		const raw = await connect();
		raw.send(requestText('GET', '/health', { headers }));
		assertError(await raw.response(), 431, 'header_too_large');
		await raw.waitClosed();
	}
});

test('a head without an end is 431 as soon as it is too long', async () => {
	const raw = await connect();
	raw.send(`GET /health HTTP/1.1\r\nX: ${'y'.repeat(server.maxHeader * 2)}`);
	assertError(await raw.response(), 431, 'header_too_large');
});

test('a target over max_header is 431 or 414', async () => {
	const raw = await connect();
	raw.send(requestText('GET', `/health?${'x'.repeat(server.maxHeader)}`));
	assert.ok([431, 414].includes((await raw.response()).status));
});

test('a head just below max_header is served', async () => {
	const shell = requestText('GET', '/health', { headers: { 'X-Long': '' } }).length;
	assert.equal((await request('GET', '/health', { headers: { 'X-Long': 'y'.repeat(server.maxHeader - shell - 64) } })).status, 200);
});

test('a body over max_body is 413, announced or chunked', async () => {
	let raw = await connect();
	raw.send(requestText('POST', eventsPath(newChannel()), { headers: { 'Content-Length': server.maxBody + 1 }, body: '' }));
	const answer = await raw.response();
	assertError(answer, 413, 'too_large');
	raw = await connect();
	raw.send(requestText('POST', eventsPath(newChannel()), { headers: { 'Transfer-Encoding': 'chunked' } }));
	const chunk = `10000\r\n${'9'.repeat(65536)}\r\n`;
	for (let sent = 0; sent <= server.maxBody && !raw.ended && raw.buffer.length === 0; sent += 65536) {
		raw.send(chunk);
		await new Promise(setImmediate);
	}
	assertError(await raw.response(), 413, 'too_large');
});

test('an event that does not fit is 413 and the connection goes on', async () => {
	const raw = await connect(), channel = newChannel();
	raw.send(requestText('POST', eventsPath(channel), { headers: JSON_TYPE, body: `"${'x'.repeat(1000000)}"` }));
	const answer = await raw.response();
	if (answer.status !== 202)
		assertError(answer, 413, 'too_large');
	raw.send(requestText('GET', '/health'));
	if (answer.headers.connection !== 'close')
		assert.equal((await raw.response()).status, 200);
});

// --- X-Request-Id ---

test('X-Request-Id comes back if it is short and printable, else a UUID comes', async () => {
	for (const id of ['a', 'f00-BAR_42', 'with blanks {and} "quotes"', 'x'.repeat(128)])
		assert.equal((await request('GET', '/health', { headers: { 'X-Request-Id': id } })).headers['x-request-id'], id);
	const seen = new Set();
	for (const id of [undefined, '', 'x'.repeat(129), 'a\tb', 'é']) {
		const answer = (await request('GET', '/health', { headers: { 'X-Request-Id': id } })).headers['x-request-id'];
		assert.match(answer, UUID, `for ${id}`);
		seen.add(answer);
	}
	assert.equal(seen.size, 5);
	const answers = [await request('GET', '/nowhere'), await request('POST', '/health', { body: '' }),
		await request('GET', '/metrics'), await request('POST', eventsPath('x'), { body: '{' })];
	for (const { headers } of answers)
		assert.match(headers['x-request-id'], UUID);
});

// --- publishing ---

test('POST publishes JSON and answers 202 with channel, epoch and seq', async () => {
	const channel = newChannel();
	for (const [i, headers] of [JSON_TYPE, {}, { 'Content-Type': 'application/json; charset=utf-8' }, { 'content-type': 'Application/JSON' }].entries()) {
		const answer = await request('POST', eventsPath(channel), { headers, body: '{"a": 1}' });
		assert.equal(answer.status, 202, answer.text);
		assert.match(answer.headers['content-type'], /^application\/json/);
		assert.deepEqual(Object.keys(answer.json).sort(), ['channel', 'epoch', 'seq']);
		assert.equal(answer.json.channel, channel);
		assert.match(answer.json.epoch, /^[0-9a-f]{16}$/);
		assert.equal(answer.json.seq, i + 1);
	}
	for (const { data } of (await history(channel)).events)
		assert.deepEqual(data, { a: 1 });
});

const bodies = ['{ "a" : [1 , 2] }', '1e400', '12345678901234567890123', '"\\u00e9\\/"', '"ä😀"', 'null', '"a\\nb"'];

test('JSON is delivered byte for byte, without the whitespace around it', async () => {
	const channel = newChannel(), room = await enter();
	await room.subscribe(channel);
	for (const body of bodies) {
		await post(channel, ` \r\n\t${body}\n \r\n`);
		await room.expect('event');
		assert.equal(rawMember(room.lastText, 'data'), body);
	}
	const text = (await request('GET', eventsPath(channel))).text;
	for (const body of bodies)
		assert.ok(text.includes(`"data":${body}}`) || text.includes(`"data":${body},`), body);
});

test('any other type is text and delivered as a JSON string', async () => {
	const channel = newChannel(), room = await enter();
	await room.subscribe(channel);
	for (const type of ['text/plain', 'text/plain; charset=utf-8', 'text/html', 'application/octet-stream', 'application/jsonx']) {
		for (const body of ['', 'hello', ' kept \n', '{"a":1}', 'a"b\\c/', '\u0000\u0001\t\r\n\u001f\u007f', 'ä😀\u2028']) {
			const answer = await request('POST', eventsPath(channel), { headers: { 'Content-Type': type }, body });
			assert.equal(answer.status, 202, answer.text);
			assert.equal((await room.expect('event')).data, body);
		}
	}
});

test('text that is not UTF-8 is refused, as text and as JSON', async () => {
	for (const type of ['text/plain', 'application/json']) {
		for (const bad of ['ff', 'c0af', 'eda080', 'f4908080', 'e282']) {
			const body = Buffer.concat([Buffer.from('"'), Buffer.from(bad, 'hex'), Buffer.from('"')]);
			const answer = await request('POST', eventsPath(newChannel()), { headers: { 'Content-Type': type }, body });
			assert.ok([400, 415].includes(answer.status), `${answer.status} for ${bad}`);
		}
	}
});

test('a body that is compressed is not taken for something else', async () => {
	const answer = await request('POST', eventsPath(newChannel()),
		{ headers: { ...JSON_TYPE, 'Content-Encoding': 'gzip' }, body: Buffer.from('1f8b0800', 'hex') });
	assert.ok([400, 415].includes(answer.status), String(answer.status));
});

test('what is not JSON is 400 and publishes nothing', async () => {
	const channel = newChannel();
	for (const headers of [JSON_TYPE, {}])
		for (const body of ['', ' ', '{', '{"a":1}}', '1 2', 'hello', "'a'", '[1,]', '{"a"}', '01', '"\t"', '"\\x"', '\ufeff1', 'nul',
			'['.repeat(server.jsonDepth + 1) + ']'.repeat(server.jsonDepth + 1)])
			assertError(await request('POST', eventsPath(channel), { headers, body }), 400, 'bad_request');
	assert.equal((await history(channel)).seq, 0);
});

test('names are percent-encoded; %2F belongs to the name', async () => {
	const tail = newChannel(), room = await enter();
	for (const [encoded, name] of [[`a%2Fb${tail}`, `a/b${tail}`], [`a%2fc${tail}`, `a/c${tail}`], [`%41%3a${tail}`, `A:${tail}`],
		[`x@y:z.${tail}`, `x@y:z.${tail}`], [encodeURIComponent(`_-.:/@${tail}`), `_-.:/@${tail}`]]) {
		await room.subscribe(name);
		const answer = await request('POST', `/api/channels/${encoded}/events`, { body: '1' });
		assert.equal(answer.json.channel, name);
		assert.equal((await room.expect('event')).channel, name);
		assert.equal((await request('GET', `/api/channels/${encoded}/events`)).json.channel, name);
	}
});

test('a bad name is 400', async () => {
	for (const name of ['a%20b', '%C3%A9', '%00', 'a%zz', 'a%', 'a%2', '%24server', 'a+b', 'a*', 'x'.repeat(129), 'a%25', 'a~b'])
		for (const method of ['GET', 'POST'])
			assert.ok([400, 403].includes((await request(method, `/api/channels/${name}/events`, method === 'POST' ? { body: '1' } : {})).status), name);
});

// --- history ---

async function withEvents(n) {
	const channel = newChannel();
	let epoch;
	for (let i = 1; i <= n; i++)
		({ epoch } = await post(channel, String(i)));
	return { channel, epoch };
}

const seqs = answer => answer.events.map(event => event.seq);

test('history without since is all that is kept', async () => {
	const before = Date.now(), { channel, epoch } = await withEvents(5), answer = await history(channel);
	assert.deepEqual(Object.keys(answer).sort(), ['channel', 'epoch', 'events', 'recovered', 'seq']);
	assert.deepEqual([answer.channel, answer.epoch, answer.seq], [channel, epoch, 5]);
	assert.equal(typeof answer.recovered, 'boolean');
	assert.deepEqual(seqs(answer), [1, 2, 3, 4, 5]);
	for (const event of answer.events) {
		assert.deepEqual(Object.keys(event).sort(), ['data', 'seq', 'ts']);
		assert.equal(event.data, event.seq);
		assert.ok(event.ts >= before - 1000 && event.ts <= Date.now() + 1000, `ts ${event.ts}`);
	}
});

test('history: since, epoch and limit', async () => {
	const { channel, epoch } = await withEvents(6);
	const ask = async query => {
		const answer = await history(channel, query);
		assert.equal(answer.seq, 6);
		assert.equal(answer.epoch, epoch);
		return [answer.recovered, ...seqs(answer)];
	};
	assert.deepEqual(await ask(`?since=4&epoch=${epoch}`), [true, 5, 6]);
	assert.deepEqual(await ask(`?epoch=${epoch}&since=0`), [true, 1, 2, 3, 4, 5, 6]);
	assert.deepEqual(await ask(`?since=6&epoch=${epoch}`), [true]);
	assert.deepEqual(await ask(`?since=2&epoch=${epoch}&limit=2`), [true, 3, 4]);
	assert.deepEqual((await ask('?limit=3')).slice(1), [1, 2, 3]);
	assert.deepEqual((await ask('?limit=100000')).slice(1), [1, 2, 3, 4, 5, 6]);
	assert.deepEqual(await ask(`?since=7&epoch=${epoch}`), [false]);
	assert.deepEqual(await ask('?since=2&epoch=0123456789abcdef'), [false]);
});

test('history: since without epoch and what is no number are 400', async () => {
	const { channel, epoch } = await withEvents(1);
	for (const query of ['?since=1', '?since=1&limit=5', `?since=x&epoch=${epoch}`, `?since=${'9'.repeat(50)}&epoch=${epoch}`,
		`?since=%zz&epoch=${epoch}`, `?since=-1&epoch=${epoch}`, `?since=1.5&epoch=${epoch}`,
		`?since=&epoch=${epoch}`, '?limit=x', '?limit=-1', `?since=99999999999999999999999&epoch=${epoch}`])
		assertError(await request('GET', eventsPath(channel) + query), 400, 'bad_request');
});

test('a GET never creates a channel', async () => {
	const channel = newChannel();
	for (let i = 0; i < 3; i++) {
		const answer = await history(channel);
		assert.deepEqual([answer.channel, answer.epoch, answer.seq, answer.events], [channel, null, 0, []]);
	}
	const answer = await history(channel, '?since=5&epoch=0123456789abcdef');
	assert.deepEqual([answer.epoch, answer.seq, answer.recovered, answer.events], [null, 0, false, []]);
	assert.equal((await post(channel, '1')).seq, 1);
});

test('a long history with large events comes whole, on a connection that goes on', async () => {
	const channel = newChannel(), raw = await connect(), n = 60, data = 'x'.repeat(30000);
	for (let i = 1; i <= n; i++) {
		raw.send(requestText('POST', eventsPath(channel), { headers: JSON_TYPE, body: JSON.stringify([i, data]) }));
		assert.equal((await raw.response()).json.seq, i);
	}
	raw.send(Buffer.concat([requestText('GET', eventsPath(channel)), requestText('GET', '/health')]));
	const { events } = (await raw.response()).json;
	assert.deepEqual(events.map(event => event.data[0]), Array.from({ length: n }, (_, i) => i + 1));
	assert.ok(events.every(event => event.data[1] === data));
	assert.equal((await raw.response()).json.status, 'healthy');
});

// --- neighbours ---

test('nobody gets a byte of what another one asked', async () => {
	const raws = await Promise.all(Array.from({ length: 20 }, () => connect()));
	for (let turn = 0; turn < 20; turn++) {
		raws.forEach((raw, i) => raw.send(requestText('GET', '/health', { headers: { 'X-Request-Id': `c${i}-${turn}` } })));
		for (const [i, raw] of raws.entries())
			assert.equal((await raw.response()).headers['x-request-id'], `c${i}-${turn}`);
	}
});

await run();
