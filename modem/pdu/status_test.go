package pdu

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The table of TS 23.040 9.2.3.15, range by range.
func TestStatusOf(t *testing.T) {
	for _, c := range []struct {
		from, to                 uint8
		want                     Status
		final, delivered, failed bool
	}{
		{0x00, 0x00, StatusDelivered, true, true, false},
		{0x01, 0x01, StatusDeliveredUnconfirmed, true, true, false},
		{0x02, 0x02, StatusReplaced, true, true, false},
		{0x03, 0x1F, StatusDeliveredUnconfirmed, true, true, false},
		{0x20, 0x3F, StatusBuffered, false, false, false},
		{0x40, 0x45, StatusFailed, true, false, true},
		{0x46, 0x46, StatusExpired, true, false, true},
		{0x47, 0x47, StatusCancelled, true, false, true},
		{0x48, 0x5F, StatusFailed, true, false, true},
		{0x60, 0x7F, StatusFailedTemporary, true, false, true},
		{0x80, 0xFF, StatusReserved, false, false, false},
	} {
		for st := int(c.from); st <= int(c.to); st++ {
			s := StatusOf(uint8(st))
			require.Equal(t, c.want, s, "%#x", st)
			require.Equal(t, c.final, s.Final(), "%#x", st)
			require.Equal(t, c.delivered, s.Delivered(), "%#x", st)
			require.Equal(t, c.failed, s.Failed(), "%#x", st)
			require.NotEmpty(t, StatusText(uint8(st)))
		}
	}
	require.Equal(t, "congestion; the service centre is still trying", StatusText(0x20))
	require.Equal(t, "congestion; the service centre gave up", StatusText(0x60))
	require.Equal(t, "the validity period has expired", StatusText(0x46))
	require.Equal(t, "a permanent error", StatusText(0x55))
	require.Equal(t, "a temporary error; the service centre gave up", StatusText(0x70))
	require.Equal(t, "a status that the standard does not define", StatusText(0x80))
}
