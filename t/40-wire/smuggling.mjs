// Requests that two readers could take for different things. Each must be answered 400 and the
// connection closed, and the request hidden behind it must never be served.
import { assert, newChannel, port, run, sleep, test } from './tap.mjs';
import { connect, eventsPath, history } from './raw.mjs';

const channel = newChannel('smuggle'), path = eventsPath(channel), HOST = `Host: 127.0.0.1:${port}`;
const HIDDEN = `POST ${path} HTTP/1.1\r\n${HOST}\r\nContent-Length: 8\r\n\r\n"hidden"`;
const post = (...lines) => `POST ${path} HTTP/1.1\r\n${[HOST, ...lines].join('\r\n')}\r\n\r\n`;
const get = (...lines) => `GET /health HTTP/1.1\r\n${[HOST, ...lines].join('\r\n')}\r\n\r\n`;
const chunked = body => `${post('Transfer-Encoding: chunked')}${body}`;

// Sentence -> bytes (latin1). A HIDDEN request follows each.
const table = {
	// the length of the body
	'both Content-Length and Transfer-Encoding': post('Content-Length: 5', 'Transfer-Encoding: chunked') + '0\r\n\r\n',
	'Transfer-Encoding, then Content-Length': post('Transfer-Encoding: chunked', 'Content-Length: 5') + '0\r\n\r\n',
	'two different Content-Length': post('Content-Length: 1', 'Content-Length: 2') + '12',
	'two equal Content-Length': post('Content-Length: 1', 'Content-Length: 1') + '1',
	'a list in Content-Length': post('Content-Length: 1, 1') + '1',
	'a list of different lengths': post('Content-Length: 1, 2') + '12',
	'Content-Length with a plus sign': post('Content-Length: +1') + '1',
	'a negative Content-Length': post('Content-Length: -1') + '1',
	'a hexadecimal Content-Length': post('Content-Length: 0x1') + '1',
	'a Content-Length with a blank within': post('Content-Length: 1 1') + '11111111111',
	'an empty Content-Length': post('Content-Length: ') + '',
	'a Content-Length with a fraction': post('Content-Length: 1.0') + '1',
	'a Content-Length with letters behind': post('Content-Length: 1a') + '1',
	'a Content-Length beyond 64 bits': post('Content-Length: 99999999999999999999999') + '1',
	'a Content-Length that wraps to 1': post('Content-Length: 18446744073709551617') + '1',
	'a quoted Content-Length': post('Content-Length: "1"') + '1',
	// Transfer-Encoding
	'an encoding that nobody knows': post('Transfer-Encoding: xchunked') + '0\r\n\r\n',
	'identity': post('Transfer-Encoding: identity') + '',
	'chunked, identity': post('Transfer-Encoding: chunked, identity') + '0\r\n\r\n',
	'gzip, chunked': post('Transfer-Encoding: gzip, chunked') + '0\r\n\r\n',
	'chunked, chunked': post('Transfer-Encoding: chunked, chunked') + '0\r\n\r\n',
	'two Transfer-Encoding': post('Transfer-Encoding: chunked', 'Transfer-Encoding: chunked') + '0\r\n\r\n',
	'two Transfer-Encoding, one unknown': post('Transfer-Encoding: chunked', 'Transfer-Encoding: cow') + '0\r\n\r\n',
	'an empty Transfer-Encoding': post('Transfer-Encoding: ') + '0\r\n\r\n',
	'a Transfer-Encoding with a vertical tab': post('Transfer-Encoding: \x0bchunked') + '0\r\n\r\n',
	'a quoted Transfer-Encoding': post('Transfer-Encoding: "chunked"') + '0\r\n\r\n',
	'a Transfer-Encoding in HTTP/1.0': `POST ${path} HTTP/1.0\r\n${HOST}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
	// header lines
	'a blank before the colon': post('Transfer-Encoding : chunked') + '0\r\n\r\n',
	'a blank before the colon of Content-Length': post('Content-Length : 1') + '1',
	'a tab before the colon': get('X-A\t: 1'),
	'a blank in a header\'s name': get('X A: 1'),
	'a header without a name': get(': 1'),
	'a header line without a colon': get('GET /health HTTP/1.1'),
	'a folded header line': get('X-A: 1', ' 2'),
	'a folded Transfer-Encoding': post('Transfer-Encoding:', ' chunked') + '0\r\n\r\n',
	'a blank before the first header': `GET /health HTTP/1.1\r\n ${HOST}\r\n\r\n`,
	'a NUL in a header': get('X-A: a\0b'),
	'a bare CR in a header': get('X-A: a\rContent-Length: 1'),
	'a bare LF in a header': get('X-A: a\nX-B: b'),
	'a control character in a header': get('X-A: a\x01b'),
	'a DEL in a header': get('X-A: a\x7fb'),
	'a control character in a header\'s name': get('X\x01A: 1'),
	'a high byte in a header\'s name': get('X\xe9A: 1'),
	'a bracket in a header\'s name': get('X(A): 1'),
	'bare LF instead of CRLF': `GET /health HTTP/1.1\n${HOST}\n\n`,
	'a bare LF behind the request line': `GET /health HTTP/1.1\n${HOST}\r\n\r\n`,
	'an LF as the empty line': `GET /health HTTP/1.1\r\n${HOST}\r\n\n`,
	'CR CR LF': `GET /health HTTP/1.1\r\r\n${HOST}\r\n\r\n`,
	// Host
	'no Host': 'GET /health HTTP/1.1\r\n\r\n',
	'two Host': get('Host: other'),
	'two equal Host': get(HOST),
	'a Host with a blank': `GET /health HTTP/1.1\r\nHost: a b\r\n\r\n`,
	'a Host with a path': `GET /health HTTP/1.1\r\nHost: a/b\r\n\r\n`,
	'a Host with a user': `GET /health HTTP/1.1\r\nHost: a@b\r\n\r\n`,
	// the request line
	'two blanks in the request line': `GET  /health HTTP/1.1\r\n${HOST}\r\n\r\n`,
	'a tab in the request line': `GET\t/health HTTP/1.1\r\n${HOST}\r\n\r\n`,
	'a blank behind the version': `GET /health HTTP/1.1 \r\n${HOST}\r\n\r\n`,
	'a blank before the method': ` GET /health HTTP/1.1\r\n${HOST}\r\n\r\n`,
	'a blank in the target': `GET /health x HTTP/1.1\r\n${HOST}\r\n\r\n`,
	'a control character in the target': `GET /health\x01 HTTP/1.1\r\n${HOST}\r\n\r\n`,
	'a NUL in the target': `GET /health\0 HTTP/1.1\r\n${HOST}\r\n\r\n`,
	'a high byte in the target': `GET /health\xff HTTP/1.1\r\n${HOST}\r\n\r\n`,
	'a target that is no path': `GET health HTTP/1.1\r\n${HOST}\r\n\r\n`,
	'a fragment in the target': `GET /health#x HTTP/1.1\r\n${HOST}\r\n\r\n`,
	'no version': `GET /health\r\n${HOST}\r\n\r\n`,
	'a version in lower case': `GET /health http/1.1\r\n${HOST}\r\n\r\n`,
	'a version with two digits': `GET /health HTTP/1.10\r\n${HOST}\r\n\r\n`,
	'a version with a zero before': `GET /health HTTP/01.1\r\n${HOST}\r\n\r\n`,
	'a method with a control character': `G\x01ET /health HTTP/1.1\r\n${HOST}\r\n\r\n`,
	'no method': ` /health HTTP/1.1\r\n${HOST}\r\n\r\n`,
	'the preface of HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
	'a TLS greeting': '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n',
	// chunks
	'a chunk size with 0x': chunked('0x1\r\n1\r\n0\r\n\r\n'),
	'a chunk size with a sign': chunked('+1\r\n1\r\n0\r\n\r\n'),
	'a negative chunk size': chunked('-1\r\n1\r\n0\r\n\r\n'),
	'a chunk size that is none': chunked('g\r\n1\r\n0\r\n\r\n'),
	'an empty chunk size': chunked('\r\n1\r\n0\r\n\r\n'),
	'a blank before a chunk size': chunked(' 1\r\n1\r\n0\r\n\r\n'),
	'a chunk size beyond 64 bits': chunked('10000000000000001\r\n1\r\n0\r\n\r\n'),
	'a chunk size in two parts': chunked('1 1\r\n1\r\n0\r\n\r\n'),
	'a chunk size with a bare LF': chunked('1\n1\r\n0\r\n\r\n'),
	'a chunk longer than it said': chunked('1\r\n123\r\n0\r\n\r\n'),
	'a chunk that ends in a bare LF': chunked('1\r\n1\n0\r\n\r\n'),
	'a chunk that ends in CR alone': chunked('1\r\n1\r0\r\n\r\n'),
	'a bare LF in a chunk extension': chunked('1;a\nb\r\n1\r\n0\r\n\r\n'),
	'a bare CR in a chunk extension': chunked('1;a\rb\r\n1\r\n0\r\n\r\n'),
};

// Where RFC 9112 has a word of its own: a coding that is unknown but ends in chunked, a later HTTP.
const others = { 'the preface of HTTP/2': 505 };

async function refused(bytes, other = 400) {
	const raw = await connect();
	raw.send(bytes + HIDDEN);
	const answer = await raw.response();
	assert.ok([400, other].includes(answer.status), `${answer.status} ${answer.text}`);
	if (answer.status === 400)
		assert.equal(answer.json.error, 'bad_request');
	assert.equal(typeof answer.json.message, 'string');
	assert.equal(answer.headers.connection, 'close');
	await raw.waitClosed();
	assert.equal(raw.buffer.length, 0, `nothing behind the 400: ${raw.buffer.toString('latin1').slice(0, 80)}`);
}

for (const [sentence, bytes] of Object.entries(table))
	test(`400 and close: ${sentence}`, () => refused(bytes, others[sentence]));

test('the same when the bytes come one by one', async () => {
	for (const sentence of ['both Content-Length and Transfer-Encoding', 'a bare LF in a header', 'no Host',
		'a chunk longer than it said', 'a Transfer-Encoding in HTTP/1.0']) {
		const raw = await connect();
		await raw.sendByteByByte(table[sentence]);
		assert.equal((await raw.response()).status, 400, sentence);
		await raw.waitClosed();
	}
});

test('a good request before a bad one is answered first', async () => {
	const raw = await connect();
	raw.send(get() + table['two different Content-Length'] + HIDDEN);
	assert.equal((await raw.response()).status, 200);
	assert.equal((await raw.response()).status, 400);
	await raw.waitClosed();
	assert.equal(raw.buffer.length, 0);
});

// What looks odd and is good all the same.
const allowed = {
	'an empty line before the request': `\r\n${get()}`,
	'names in any case': `GET /health HTTP/1.1\r\nhOsT: 127.0.0.1\r\n\r\n`,
	'no blank behind the colon': `GET /health HTTP/1.1\r\nHost:127.0.0.1\r\n\r\n`,
	'blanks and tabs around a value': `GET /health HTTP/1.1\r\nHost: \t 127.0.0.1 \t \r\n\r\n`,
	'an empty value': get('X-A:'),
	'a high byte in a value': get('X-A: \xe9'),
	'a tab in a value': get('X-A: a\tb'),
	'an absolute target': `GET http://127.0.0.1:${port}/health HTTP/1.1\r\n${HOST}\r\n\r\n`,
	'Content-Length 0 on a GET': get('Content-Length: 0'),
	'a body on a GET': get('Content-Length: 5') + 'hello',
	'a name with every letter that a token may have': get("!#$%&'*+-.^_`|~09azAZ: 1"),
};

for (const [sentence, bytes] of Object.entries(allowed)) {
	test(`200: ${sentence}`, async () => {
		const raw = await connect();
		raw.send(bytes + get());
		for (let i = 0; i < 2; i++)
			assert.equal((await raw.response()).status, 200);
	});
}

test('chunks that are odd and good are one body', async () => {
	for (const body of ['3\r\n"od\r\n2\r\nd"\r\n0\r\n\r\n', '5;ext=1;y="z"\r\n"odd"\r\n0\r\n\r\n', '0005\r\n"odd"\r\n000\r\n\r\n',
		'5\r\n"odd"\r\n0\r\nX-Trailer: 1\r\n\r\n']) {
		const raw = await connect(), name = newChannel();
		raw.send(`POST ${eventsPath(name)} HTTP/1.1\r\n${HOST}\r\ntransfer-encoding: Chunked\r\n\r\n${body}${get()}`);
		const answer = await raw.response();
		if (answer.status === 400)		// extensions and trailers may be refused, then the line is cut
			assert.ok(/;|X-/.test(body), `400 for ${body}`);
		else
			assert.equal((await raw.response()).status, 200);
	}
});

test('no hidden request was served', async () => {
	await sleep(200);
	const { events } = await history(channel);
	assert.deepEqual(events.filter(event => event.data === 'hidden'), []);
});

await run();
