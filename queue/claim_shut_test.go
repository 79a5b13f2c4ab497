package queue

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestACanaryWhoseClassIsShut waits and lets pass what is behind it in its lane; it
// leaves soon after its class is open again.
func TestACanaryWhoseClassIsShut(t *testing.T) {
	b := newBox(t)
	l := line(1)
	b.known(l, line(2))
	canary := b.canary(1, 2, "+34600111222")
	alert := b.submit(Request{Class: Alert, SIM: l.ICCID})
	all := []Open{{Bucket: 0, Lanes: AllLanes}, {Bucket: alert.Bucket, Lanes: AllLanes}}
	l.Offer = &Offer{Own: all, Any: all, Turn: -1, Shut: LanesOf(Normal)}
	c, err := b.Claim(context.Background(), l)
	require.NoError(t, err)
	require.NotNil(t, c)
	require.Equal(t, alert.ID, c.Message.ID)
	b.clock.forward(shutAgain + time.Second)
	b.wake()
	c, err = b.Claim(context.Background(), l)
	require.NoError(t, err)
	require.Nil(t, c)

	l.Offer.Shut = 0
	b.clock.forward(shutAgain + time.Second)
	b.wake()
	c, err = b.Claim(context.Background(), l)
	require.NoError(t, err)
	require.NotNil(t, c)
	require.Equal(t, canary.Message, c.Message.ID)
}

// TestALaneThatIsDamaged: a message in a better lane than its class's would be claimed
// by what that lane may have, and refused by what its class may, again and again.
func TestALaneThatIsDamaged(t *testing.T) {
	b := newBox(t)
	l := line(1)
	m := b.submit(Request{Class: Bulk})
	b.raw(`UPDATE message SET lane = 0 WHERE seq = ?`, m.Seq)
	all := []Open{{Bucket: m.Bucket, Lanes: AllLanes &^ LanesOf(Bulk)}}
	l.Offer = &Offer{Own: all, Any: all, Turn: -1, Shut: LanesOf(Bulk)}
	c, err := b.Claim(context.Background(), l)
	require.NoError(t, err)
	require.Nil(t, c)
	l.Offer = nil
	c, err = b.Claim(context.Background(), l)
	require.NoError(t, err)
	require.NotNil(t, c)
	var lane int
	require.NoError(t, b.db.Read().QueryRow(`SELECT lane FROM message WHERE seq = ?`, m.Seq).Scan(&lane))
	require.Equal(t, LaneBulk, lane)
}
