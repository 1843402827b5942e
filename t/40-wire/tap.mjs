// A few lines of TAP: tests are named as sentences, run one after the other, each with a deadline.
//
// PLENUM_URL says where the server is, such as http://127.0.0.1:8080. What a script must know of its
// configuration comes from PLENUM_<SETTING>, with the server's own default when that is not set.
// WIRE_ONLY=TEXT runs only the tests whose sentence contains TEXT.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';

export { assert };

if (!process.env.PLENUM_URL) {
	console.error('PLENUM_URL is not set (http://127.0.0.1:PORT)');
	process.exit(2);
}
export const url = new URL(process.env.PLENUM_URL);
export const host = url.hostname;
export const port = Number(url.port || 80);
export const wsUrl = `ws://${host}:${port}`;

const number = (name, fallback) => Number(process.env[`PLENUM_${name}`] ?? fallback);
export const server = {
	history: number('HISTORY', 1000),
	messageRate: number('MESSAGE_RATE', 1000),
	maxMessage: number('MAX_MESSAGE', 65536),
	maxBody: number('MAX_BODY', 2 << 20),
	maxHeader: number('MAX_HEADER', 16384),
	subscriptionsMax: number('SUBSCRIPTIONS_MAX', 128),
	jsonDepth: number('JSON_DEPTH', 32),
};

export const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));

// A channel that nobody has used before.
export const newChannel = (what = 't') => `${what}-${crypto.randomBytes(6).toString('hex')}`;

const tests = [];
const cleanups = [];

export function test(sentence, body, { seconds = 10 } = {}) {
	tests.push({ sentence, body, seconds });
}

// Registers what is to be closed when the running test ends, however it ends.
export function atEnd(cleanup) {
	cleanups.push(cleanup);
}

function deadline(seconds) {
	let timer;
	const promise = new Promise((_, reject) => {
		timer = setTimeout(() => reject(new Error(`no end after ${seconds} s`)), seconds * 1000);
	});
	return { promise, cancel: () => clearTimeout(timer) };
}

function explain(error) {
	const text = error?.code === 'ERR_ASSERTION' ? error.message : error?.stack ?? String(error);
	for (const line of text.split('\n').slice(0, 24))
		console.log(`#   ${line.slice(0, 300)}`);
}

export async function run() {
	const only = process.env.WIRE_ONLY;
	let no = 0, failed = 0;

	process.on('unhandledRejection', error => { failed++; explain(error); });
	for (const { sentence, body, seconds } of tests) {
		if (only && !sentence.includes(only))
			continue;
		const limit = deadline(seconds);
		no++;
		try {
			await Promise.race([body(), limit.promise]);
			console.log(`ok ${no} - ${sentence}`);
		} catch (error) {
			failed++;
			console.log(`not ok ${no} - ${sentence}`);
			explain(error);
		}
		limit.cancel();
		while (cleanups.length > 0)
			cleanups.pop()();
	}
	console.log(`1..${no}`);
	process.exit(failed === 0 ? 0 : 1);
}
