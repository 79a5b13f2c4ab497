package inbox

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"recado/queue"
)

// A request whose Idempotency-Key names the number that is erased is not sent
// again when it comes again: of the key its hash stays.
func TestAnErasedNumbersKeyStillKeepsFromSendingTwice(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	const victim = "+34655873921"
	submit := func(scope, key string, body byte) (queue.Result, error) {
		return b.queue.Submit(ctx, queue.Request{To: []string{victim}, Text: "Hola"},
			&queue.Idempotency{Scope: scope, Key: key, Hash: []byte{body}, Answer: func(r queue.Result) []byte {
				return fmt.Appendf(nil, `{"messages":[{"id":%q,"to":%q}]}`, r.Messages[0].ID, victim)
			}})
	}
	keys := []string{"cita-655873921-1", "cita-uno"}
	for _, key := range keys {
		_, err := submit("k", key, 1)
		require.NoError(t, err)
	}
	for round := range 2 {
		e, err := b.Erase(ctx, victim, "ana")
		require.NoError(t, err)
		if round == 0 {
			require.Equal(t, 2, e.Messages)
			require.NotZero(t, e.Answers)
		}
		for _, key := range keys {
			res, err := submit("k", key, 1)
			require.NoError(t, err)
			require.Empty(t, res.Messages, "%s: not sent again", key)
			require.JSONEq(t, `{"messages":[]}`, string(res.Replayed), key)
			_, err = submit("k", key, 2)
			require.ErrorIs(t, err, queue.ErrMismatch, key)
		}
		require.Empty(t, b.found(traces(t, victim)))
	}
	res, err := submit("another", keys[0], 1)
	require.NoError(t, err)
	require.Len(t, res.Messages, 1, "another client's key is another")
}
