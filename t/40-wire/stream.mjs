// An SSE stream read as a browser reads it: lines, fields, and an event at each empty line.
import { assert } from './tap.mjs';
import { connect, eventsPath, requestText } from './raw.mjs';

class Stream {
	constructor(raw, answer) {
		this.raw = raw;
		this.headers = answer.headers;
		this.chunked = answer.headers['transfer-encoding'] === 'chunked';
		this.text = '';
	}

	// Moves what has arrived from the socket's buffer to `text`.
	absorb() {
		const raw = this.raw;
		if (!this.chunked) {
			this.text += raw.consume(raw.buffer.length).toString('latin1');
			return;
		}
		for (;;) {
			const eol = raw.buffer.indexOf('\r\n');
			if (eol < 0)
				return;
			const size = parseInt(raw.buffer.subarray(0, eol).toString('latin1'), 16);
			assert.ok(Number.isInteger(size), 'a chunk size');
			if (raw.buffer.length < eol + 2 + size + 2)
				return;
			this.text += raw.consume(eol + 2 + size + 2).toString('latin1').slice(eol + 2, -2);
		}
	}

	// One block of lines: { id, event, data, comment, retry }, each undefined if it was not there.
	async block() {
		const text = await this.raw.until(() => {
			this.absorb();
			const end = /\r?\n\r?\n/.exec(this.text);
			if (!end)
				return undefined;
			const block = this.text.slice(0, end.index);
			this.text = this.text.slice(end.index + end[0].length);
			return block;
		});
		assert.ok(text !== undefined, 'a block of the stream, but the server closed');
		const block = {};
		for (const line of Buffer.from(text, 'latin1').toString().split(/\r\n|\r|\n/)) {
			const colon = line.indexOf(':');
			const field = colon < 0 ? line : line.slice(0, colon) || 'comment';
			const value = colon < 0 ? '' : line.slice(colon + (line[colon + 1] === ' ' ? 2 : 1));
			assert.ok(['id', 'event', 'data', 'comment', 'retry'].includes(field), `a field: ${line}`);
			block[field] = field === 'data' && 'data' in block ? `${block.data}\n${value}` : value;
		}
		return block;
	}

	// The next event, comments left out, with its id taken apart.
	async event() {
		for (;;) {
			const block = await this.block();
			if (block.data === undefined)
				continue;
			if (block.id !== undefined) {
				const [, epoch, seq] = /^([0-9a-f]{16}):(\d+)$/.exec(block.id) ?? [];
				assert.ok(epoch, `an id EPOCH:SEQ: ${block.id}`);
				block.epoch = epoch;
				block.seq = Number(seq);
			}
			return block;
		}
	}

	close() {
		this.raw.socket.destroy();
	}
}

export async function openStream(channel, { query = '', headers = {} } = {}) {
	const raw = await connect();
	raw.send(requestText('GET', eventsPath(channel) + query,
		{ headers: { Accept: 'text/event-stream', ...headers } }));
	const answer = await raw.head();
	assert.equal(answer.status, 200);
	assert.match(answer.headers['content-type'], /^text\/event-stream\b/);
	return new Stream(raw, answer);
}
