package inbox

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/queue"
)

// TestACanaryIsNoReceivedMessage: it is kept, marked, and nobody is told of it;
// what people write is, also when they quote one.
func TestACanaryIsNoReceivedMessage(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	c, err := b.queue.StartCanary(ctx, "8934000000000000009", iccid, own, "ana")
	require.NoError(t, err)
	m, err := b.queue.Message(ctx, c.Message)
	require.NoError(t, err)
	b.clock.forward(4 * time.Second)
	raw := b.parts("600333444", m.Text, 0)
	b.ingest(raw...)
	b.ingest(raw...) // read again
	b.clock.forward(time.Second)
	b.ingest(b.parts(ana, "¿Quién es? RC-AAAABBBBCCCCD", 0)...)

	list := b.list(Filter{})
	require.Len(t, list, 1)
	require.Equal(t, ana, list[0].From)
	people, _, err := b.Conversations(ctx, Filter{})
	require.NoError(t, err)
	require.Len(t, people, 1)
	require.Equal(t, []string{"inbound.received"}, b.events())
	require.Equal(t, 1, b.count(`SELECT count(*) FROM inbound_raw WHERE kind = 'canary' AND inbound IS NULL`))

	c, err = b.queue.Canary(ctx, c.ID)
	require.NoError(t, err)
	require.Equal(t, queue.CanaryArrived, c.State)
	require.Equal(t, 4*time.Second, c.Arrived)
}
