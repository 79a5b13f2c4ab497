// Package proof holds the tests that drive the real program, built with
// failpoints, against emulated modems in another process: they kill it at random
// and at every place that matters, have its disk fail, keep a history of all that
// clients were told and all that the network took, and check it against what is
// promised.
//
// Variables scale them up: RECADO_PROOF_KILLS (random kills under load),
// RECADO_PROOF_HITS (at which hits of a failpoint, "1,3,7"), RECADO_PROOF_ROUNDS
// (how often each failpoint's hits are gone through, and the disk's failures).
package proof
