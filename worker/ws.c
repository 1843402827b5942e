/*
 * A frame is taken when it is complete. A message of one frame is unmasked into private memory and
 * given to the dialect; the raw input is never changed, as an heir parses the same bytes again.
 *
 * Fragments: each is committed by itself, so that a control frame between two of them is answered
 * once. The payload so far lies unmasked in an assembly block with a commit word (in_end, len): the
 * bytes, then the word, then in_done follow. The first fragment's block is named by an effect of a
 * message without a reply. The last fragment's commit also takes the block away.
 *
 * A close frame of ours sets CONN_WS_BYE and CONN_CLOSE: nothing is executed any more, and when it
 * is out the connection lingers for the peer's.
 */
#include "worker/ws.h"

#include <string.h>

#include "worker/dialect.h"
#include "worker/message.h"
#include "worker/priv.h"
#include "worker/utf8.h"
#include "worker/wsframe.h"

enum { ASSEMBLY_DATA = BLOCK_SIZE - offsetof(struct block, data) };

void
ws_reply(struct message *m, unsigned opcode, const void *p, size_t n)
{
	uint8_t head[WS_HEAD_MAX];

	message_put(m, head, ws_frame_head(head, (uint8_t)opcode, true, false, n));
	message_put(m, p, n);
}

void
ws_reply_text(struct message *m, const void *p, size_t n)
{
	ws_reply(m, WS_TEXT, p, n);
}

void
ws_reply_close(struct message *m, unsigned code, const char *reason)
{
	unsigned char payload[WS_CONTROL_MAX];
	size_t n = strnlen(reason, sizeof payload - 2);

	if (!conn_has(m->c, CONN_WS_BYE)) {
		payload[0] = (unsigned char)(code >> 8);
		payload[1] = (unsigned char)code;
		memcpy(payload + 2, reason, n);
		ws_reply(m, WS_CLOSE, payload, code == 0 ? 0 : n + 2);
	}
	message_state(m, CONN_WS_BYE | CONN_CLOSE, 0);
}

void
ws_ping(struct message *m)
{
	ws_reply(m, WS_PING, "", 0);
}

/* The offending bytes are not processed: the close frame is what is committed. */
static ssize_t
refuse(struct worker *w, uint32_t ci, uint64_t off, size_t n, unsigned code, const char *reason)
{
	struct message m;

	if (!message_begin(w, ci, off, off + n, &m))
		return -1;
	stat_add(w->stats, STAT_DISCONNECT_PROTOCOL, 1);
	ws_reply_close(&m, code, reason);
	message_commit(&m);
	return (ssize_t)n;
}

/* The peer's close frame is answered with its own code. */
static void
answer_close(struct message *m, const unsigned char *p, size_t n)
{
	unsigned code = n >= 2 ? (unsigned)p[0] << 8 | p[1] : 0;

	if (n == 1 || (n >= 2 && !ws_close_code_valid((uint16_t)code)))
		ws_reply_close(m, WS_CLOSE_PROTOCOL, "invalid close code");
	else if (n > 2 && !utf8_valid(p + 2, n - 2))
		ws_reply_close(m, WS_CLOSE_BAD_DATA, "close reason is not UTF-8");
	else
		ws_reply_close(m, code, "");
}

static ssize_t
take_control(struct worker *w, uint32_t ci, uint64_t off, const struct ws_frame *f,
    const unsigned char *p)
{
	unsigned char payload[WS_CONTROL_MAX];
	size_t n = (size_t)f->len;
	struct message m;

	if (!message_begin(w, ci, off, off + f->head + n, &m))
		return -1;
	ws_unmask(payload, p + f->head, n, f->mask);
	if (f->opcode == WS_PING && !conn_has(m.c, CONN_WS_BYE))
		ws_reply(&m, WS_PONG, payload, n);
	else if (f->opcode == WS_CLOSE)
		answer_close(&m, payload, n);
	message_commit(&m);
	return (ssize_t)(f->head + n);
}

/* A whole message to the dialect. */
static ssize_t
dispatch(struct worker *w, uint32_t ci, uint64_t off, size_t used, unsigned opcode,
    const unsigned char *p, size_t n, bool assembled)
{
	const struct dialect *d = dialect_get(conn_dialect(conn_at(w, ci)));
	struct message m;

	if (!message_begin(w, ci, off, off + used, &m))
		return -1;
	if (opcode == WS_TEXT && !utf8_valid(p, n))
		ws_reply_close(&m, WS_CLOSE_BAD_DATA, "text is not UTF-8");
	else
		d->message(&m, opcode, p, n);
	if (assembled)
		message_effect(&m, EFFECT_ASSEMBLY, 0, 0);
	message_commit(&m);
	return (ssize_t)used;
}

/* The block of the message that is being put together, named if this is the first fragment. */
static struct block *
assembly(struct worker *w, uint32_t ci, uint64_t off, unsigned opcode, bool *again)
{
	struct conn *c = conn_at(w, ci);
	struct message m;
	struct block *k;
	uint32_t b;

	if (word_get(&c->assembly) != 0)
		return block_at(w, (uint32_t)word_get(&c->assembly));
	*again = !message_begin(w, ci, off, off, &m);
	if (*again || (b = block_get(w)) == 0)
		return NULL;
	k = block_at(w, b);
	word_set(&k->tag, opcode);
	word_set(&k->len, 0);
	word_set(&k->commit, 0);
	message_effect(&m, EFFECT_ASSEMBLY, 0, b);
	message_commit(&m);
	return k;
}

static ssize_t
take_fragment(struct worker *w, uint32_t ci, uint64_t off, const struct ws_frame *f,
    const unsigned char *p)
{
	struct conn *c = conn_at(w, ci);
	size_t used = f->head + (size_t)f->len;
	bool again = false;
	struct block *k = assembly(w, ci, off, f->opcode, &again);
	uint32_t have;

	if (k == NULL)
		return again ? -1 : refuse(w, ci, off, used, WS_CLOSE_TRY_LATER, "no room");
	have = commit_len(word_get(&k->commit));
	if (have + f->len > w->set.max_message || have + f->len > ASSEMBLY_DATA)
		return refuse(w, ci, off, used, WS_CLOSE_TOO_BIG, "message is too big");
	ws_unmask(k->data + have, p + f->head, (size_t)f->len, f->mask);
	if (f->fin)
		return dispatch(w, ci, off, used, (unsigned)word_get(&k->tag), k->data,
		    have + (size_t)f->len, true);
	word_set(&k->commit, commit_make(off + used, have + (uint32_t)f->len));
	word_set(&c->in_done, off + used);
	return (ssize_t)used;
}

/*
 * A block whose commit is 0 was named for the very frame at hand, by a worker that died before it
 * had committed it: the message is not begun. (No fragment ends at offset 0, where the request
 * was.)
 */
static bool
is_assembling(struct worker *w, uint32_t ci)
{
	uint32_t b = (uint32_t)word_get(&conn_at(w, ci)->assembly);

	return b != 0 && word_get(&block_at(w, b)->commit) != 0;
}

static ssize_t
take_data(struct worker *w, uint32_t ci, uint64_t off, const struct ws_frame *f,
    const unsigned char *p)
{
	bool open = is_assembling(w, ci);
	size_t used = f->head + (size_t)f->len;

	if (conn_has(conn_at(w, ci), CONN_WS_BYE))
		return (ssize_t)used;
	if (open != (f->opcode == WS_CONTINUATION))
		return refuse(w, ci, off, used, WS_CLOSE_PROTOCOL, open ?
		    "a fragmented message is not finished" : "nothing to continue");
	if (!f->fin || open)
		return take_fragment(w, ci, off, f, p);
	ws_unmask(w->unmasked, p + f->head, (size_t)f->len, f->mask);
	return dispatch(w, ci, off, used, f->opcode, w->unmasked, (size_t)f->len, false);
}

ssize_t
ws_take(struct worker *w, uint32_t ci, uint64_t off, const unsigned char *p, size_t n)
{
	struct ws_frame f;
	enum ws_why why;
	ssize_t head = ws_frame_parse(p, n, w->set.max_message, false, &f, &why);

	if (head < 0 && conn_has(conn_at(w, ci), CONN_WS_BYE))
		return (ssize_t)n;
	if (head < 0)
		return refuse(w, ci, off, n, ws_why_code(why), ws_why_name(why));
	if (head == 0 || n - (size_t)head < f.len)
		return 0;
	if (f.opcode >= WS_CLOSE)
		return take_control(w, ci, off, &f, p);
	return take_data(w, ci, off, &f, p);
}
