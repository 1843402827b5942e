/* step_worker: what the files of scenes share. */
#ifndef PLENUM_T_STEP_SCENES_PRIV_H
#define PLENUM_T_STEP_SCENES_PRIV_H

#include "t/20-stress/step_scenes.h"

enum { A, B, C, D, E, F, SMALL_RCVBUF = 2304 };

/* What is said in this turn, by one client and by another. */
extern struct bytes scene_said, scene_said2;

/* What is said first comes in pieces that end here; 0: none. */
extern size_t scene_cut[2];

/* These wait for the answers. rcvbuf as in client_open(). */
void scene_open_ws(struct oracle *o, unsigned i, int rcvbuf);
void scene_subscribe(struct oracle *o, unsigned i, unsigned chan);
void scene_open_subscriber(struct oracle *o, unsigned i, unsigned chan);

/* Sends the n-th piece. False: there is none. */
bool scene_send_pieces(struct oracle *o, unsigned i, unsigned n);

/*
 * An upgrade and a request in vain: the first of a worker take millions of instructions and some
 * calls more than any other, because libraries have to read the time zone and the like.
 */
void scene_warm(struct oracle *o);

/* Takes what came for the client. True: more must come. */
bool scene_await(struct oracle *o, unsigned i);

/* Ends the client's connection by a reset, whatever was still to come. */
void scene_reset(struct oracle *o, unsigned i);

/* A says it, in pieces; all of it at once. */
bool scene_act_in_pieces(struct oracle *o, unsigned n);
bool scene_act_once(struct oracle *o, unsigned n);

/* A leaves. */
void scene_close_first(struct oracle *o);

/* step_scenes_http.c */
extern const struct scene scene_keys, scene_keys_turned, scene_keys_of_two,
    scene_keys_of_two_turned, scene_event_stream, scene_long_history;

/* step_scenes_fate.c */
extern const struct scene scene_reload, scene_latest, scene_close, scene_two_workers, scene_rate,
    scene_goodbye, scene_cut_off, scene_poisoned_subscribe, scene_elsewhere, scene_first,
    scene_poisoned_post, scene_other_keeper;

/* step_scenes_move.c */
extern const struct scene scene_move_away, scene_move_in, scene_move_again;

#endif
