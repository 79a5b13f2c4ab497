package queue

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestZonesOfNumbers(t *testing.T) {
	in := func(name string) *zones {
		l, err := time.LoadLocation(name)
		require.NoError(t, err)
		return newZones(l)
	}
	const spain, portugal, us, britain = 34, 351, 1, 44
	for _, c := range []struct {
		box  string
		home int
		to   string
		want string
	}{
		{"Europe/Madrid", spain, "+34600111222", "Europe/Madrid"},
		{"UTC", spain, "+34600111222", "Europe/Madrid"}, // a box whose zone nobody has set
		{"Atlantic/Canary", spain, "+34600111222", "Atlantic/Canary"},
		{"Atlantic/Canary", portugal, "+34600111222", "Europe/Madrid"}, // not its own country
		{"Europe/Madrid", spain, "+34928111222", "Atlantic/Canary"},
		{"Atlantic/Canary", spain, "+34928111222", "Atlantic/Canary"},
		{"Europe/Paris", spain, "+34600111222", "Europe/Madrid"}, // which shows the same
		{"Europe/Madrid", spain, "+351912345678", "Atlantic/Azores,Europe/Lisbon"},
		{"Europe/Lisbon", portugal, "+351912345678", "Europe/Lisbon"},
		{"Atlantic/Azores", portugal, "+351912345678", "Atlantic/Azores"},
		{"Atlantic/Madeira", portugal, "+351912345678", "Europe/Lisbon"}, // which shows the same
		{"Europe/Madrid", portugal, "+351912345678", "Atlantic/Azores,Europe/Lisbon"},
		{"Europe/Madrid", spain, "+12125551234", "America/New_York"},
		{"America/Chicago", us, "+12125551234", "America/New_York"}, // its region is known
		{"Europe/Madrid", spain, "+447911123456", "Europe/London"},  // Guernsey and Man show the same
		{"Europe/London", britain, "+447911123456", "Europe/London"},
		{"Europe/Madrid", spain, "+88213123456", ""}, // a satellite's
		{"Europe/Madrid", spain, "7373", ""},
		{"Europe/Madrid", 0, "+34600111222", "Europe/Madrid"},
	} {
		require.Equal(t, c.want, in(c.box).of(c.to, c.home), "%s of a box in %s of +%d", c.to, c.box, c.home)
	}
	z := in("Europe/Madrid")
	toll := z.of("+18005551234", spain)
	require.Contains(t, toll, "America/Toronto")
	require.NotContains(t, toll, "America/New_York", "which shows the same")
	require.Contains(t, toll, "Pacific/Honolulu")
	require.Equal(t, toll, z.of("+18005551234", spain), "again, from memory")
	require.Equal(t, "America/Winnipeg", in("America/Chicago").of("+18005551234", us), "which shows the same; it tells no region")
}

func BenchmarkPlace(b *testing.B) {
	box := newBox(b)
	sims := box.sees(2)
	box.route(Route{Name: "Portugal", Countries: []string{"PT"}}, sims[0])
	box.route(Route{Name: "bulk", Classes: []Class{Bulk}}, sims[0])
	for b.Loop() {
		box.placeOf("+34600111222", Normal, "key")
	}
}
