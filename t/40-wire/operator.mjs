// What browsers of other origins and operators see: CORS, health, metrics, the page.
import { assert, newChannel, run, sleep, test } from './tap.mjs';
import { eventsPath, post, request } from './raw.mjs';
import { enter } from './room.mjs';

// --- CORS ---

test('any origin may read and publish when nobody must log in', async () => {
	const channel = newChannel(), headers = { Origin: 'https://app.example' };
	for (const answer of [await request('GET', '/health', { headers }), await request('GET', eventsPath(channel), { headers }),
		await request('POST', eventsPath(channel), { headers, body: '1' }), await request('GET', '/nowhere', { headers })])
		assert.ok(['*', 'https://app.example'].includes(answer.headers['access-control-allow-origin']), String(answer.status));
});

test('a preflight is answered', async () => {
	const answer = await request('OPTIONS', eventsPath(newChannel()), { headers: { Origin: 'https://app.example',
		'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'content-type,x-request-id' } });
	assert.ok([200, 204].includes(answer.status), String(answer.status));
	assert.ok(['*', 'https://app.example'].includes(answer.headers['access-control-allow-origin']));
	assert.match(answer.headers['access-control-allow-methods'], /\bPOST\b/);
	const allowed = answer.headers['access-control-allow-headers'].toLowerCase();
	assert.ok(allowed === '*' || (allowed.includes('content-type') && allowed.includes('x-request-id')), allowed);
});

// --- the operator's paths ---

test('/health, /health/live and /health/ready are 200', async () => {
	const { json, headers } = await request('GET', '/health');
	assert.equal(json.status, 'healthy');
	assert.equal(json.service, 'plenum');
	assert.match(json.version, /^\d+\.\d+/);
	assert.match(headers['content-type'], /^application\/json/);
	assert.equal((await request('GET', '/health/live')).status, 200);
	assert.equal((await request('GET', '/health/ready')).status, 200);
});

// name{labels} -> value, and all that is wrong with the text is an assertion.
function parseMetrics(text) {
	const samples = new Map(), types = new Map();
	assert.ok(text.endsWith('\n'));
	for (const line of text.slice(0, -1).split('\n')) {
		const meta = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(line);
		if (meta) {
			if (meta[1] === 'TYPE') {
				assert.ok(!types.has(meta[2]), `one TYPE for ${meta[2]}`);
				assert.match(meta[3], /^(counter|gauge|histogram|summary|untyped)$/);
				types.set(meta[2], meta[3]);
			}
			continue;
		}
		const sample = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*\})? (NaN|[+-]Inf|[-+0-9.eE]+)$/.exec(line);
		assert.ok(sample, `a sample: ${line}`);
		const [, name, labels = '', value] = sample;
		assert.ok(!samples.has(name + labels), `${name}${labels} once`);
		samples.set(name + labels, Number(value));
		const family = name.replace(/_(bucket|sum|count)$/, '');
		assert.ok(types.has(name) || types.has(family), `a TYPE before ${name}`);
		if (types.get(name) === 'counter')
			assert.match(name, /_total$/);
	}
	return samples;
}

const metrics = async () => parseMetrics((await request('GET', '/metrics')).text);

// The sum over all labels.
const total = (samples, name) => [...samples].filter(([key]) => key.replace(/\{.*/, '') === name).reduce((sum, [, value]) => sum + value, 0);

test('/metrics is Prometheus text with the names that are promised', async () => {
	const answer = await request('GET', '/metrics');
	assert.match(answer.headers['content-type'], /^text\/plain; ?version=0\.0\.4/);
	const names = [...parseMetrics(answer.text).keys()].map(key => key.replace(/\{.*/, ''));
	const declared = answer.text.match(/^# TYPE \S+/gm).map(line => line.slice(7));
	for (const name of ['plenum_connections', 'plenum_channels', 'plenum_events_published_total', 'plenum_deliveries_total',
		'plenum_gap_events_total', 'plenum_http_requests_total', 'plenum_disconnects_total', 'plenum_worker_deaths_total',
		'plenum_worker_pause_seconds'])
		assert.ok(declared.includes(name) || names.includes(name), name);
});

test('/metrics counts', async () => {
	const channel = newChannel('metered'), before = await metrics(), room = await enter();
	await room.subscribe(channel);
	for (let i = 0; i < 10; i++) {
		await post(channel, '1');
		await room.expect('event');
	}
	let after;
	const grown = name => total(after, name) - total(before, name);
	for (let i = 0; i < 20; i++) {		// workers may add up their counters a little later
		after = await metrics();
		if (grown('plenum_events_published_total') >= 10 && grown('plenum_deliveries_total') >= 10)
			break;
		await sleep(100);
	}
	assert.ok(grown('plenum_events_published_total') >= 10);
	assert.ok(grown('plenum_deliveries_total') >= 10);
	assert.ok(grown('plenum_http_requests_total') >= 10);
	assert.ok(grown('plenum_channels') >= 1);
	assert.ok(total(after, 'plenum_connections') >= 1);
	for (const key of after.keys())
		assert.ok(!key.includes(channel), 'no label per channel');
});

test('/ is a page', async () => {
	const answer = await request('GET', '/');
	assert.equal(answer.status, 200);
	assert.match(answer.headers['content-type'], /^text\/html/);
	assert.match(answer.text, /^<!doctype html>/i);
});

await run();
