package inbox

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// inboundSeedsEnv says how often TestNothingReceivedIsLostOrDoubled runs, with
// all of its segments: else once, with a fifth of them.
const inboundSeedsEnv = "RECADO_INBOUND_SEEDS"

// letter is a message that somebody sends to us.
type letter struct {
	text  string
	parts int
	came  map[int]bool
}

// card is a SIM's memory, that is read, and cleared when what was read is on
// disk (reliability rules I2, I4 and I5).
type card struct {
	*box
	r     *rand.Rand
	slots [][]byte
	fails map[string]int // what went wrong
}

// sweep reads the card through, as after AT+CMGL=4. It may end at any moment.
func (c *card) sweep() {
	ctx := context.Background()
	for _, raw := range slices.Clone(c.slots) {
		in := c.in(raw)
		in.Memory, in.At = "SM", time.Time{}
		switch fate := c.r.IntN(60); fate {
		case 0:
			c.fails["killed before the commit"]++
			c.restart()
			return
		case 1:
			c.fails["the commit failed"]++
			require.NoError(c.t, c.db.Close())
			require.Error(c.t, c.Ingest(ctx, in), "it stays on the card")
			c.open()
			return
		}
		require.NoError(c.t, c.Ingest(ctx, in))
		switch fate := c.r.IntN(60); {
		case fate == 0:
			c.fails["killed before the deletion"]++
			c.restart()
			return
		case fate < 6:
			c.fails["the deletion failed"]++
			continue
		case fate < 9:
			c.fails["sent again by the centre"]++ // AT+CNMA was missed
			require.NoError(c.t, c.Ingest(ctx, in))
		}
		c.slots = slices.DeleteFunc(c.slots, func(b []byte) bool { return &b[0] == &raw[0] })
	}
}

// TestNothingReceivedIsLostOrDoubled: segments out of order and with gaps, over a
// card whose reading ends anywhere and whose deletions fail, make each message
// and each event once (R6).
func TestNothingReceivedIsLostOrDoubled(t *testing.T) {
	seeds, segments := 1, 2000
	if text := os.Getenv(inboundSeedsEnv); text != "" {
		var err error
		seeds, err = strconv.Atoi(text)
		require.NoError(t, err)
		segments = 10_000
	}
	for seed := range seeds {
		dir := t.TempDir()
		if quick, err := os.MkdirTemp("/dev/shm", "recado-inbox-"); err == nil { // nothing here cuts the power
			defer func() { _ = os.RemoveAll(quick) }()
			dir = quick
		}
		c := &card{r: rand.New(rand.NewPCG(uint64(seed), 6)), fails: map[string]int{},
			box: &box{t: t, path: filepath.Join(dir, "recado.db"), clock: &clock{now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}}}
		c.open()
		letters := c.correspondence(segments)
		c.clock.forward(11 * time.Minute)
		require.NoError(t, c.Tick(context.Background()))
		c.judge(letters)
		t.Logf("seed %d: %d segments, %d messages: %v", seed, segments, len(letters), c.fails)
		for _, what := range []string{"killed before the commit", "the commit failed", "killed before the deletion", "the deletion failed", "sent again by the centre"} {
			require.NotZero(t, c.fails[what], what)
		}
		require.NoError(t, c.db.Close())
	}
}

// correspondence sends so many segments, in an order that only a network can
// make, and reads them.
func (c *card) correspondence(segments int) (letters []*letter) {
	type segment struct {
		of  *letter
		n   int
		raw []byte
	}
	var air []segment
	for n := 0; n < segments; {
		i := len(letters)
		l := &letter{text: fmt.Sprintf("carta %d %s", i, strings.Repeat("que sigue y sigue ", c.r.IntN(40))), came: map[int]bool{}}
		raws := c.parts(fmt.Sprintf("+34611%06d", i%60), l.text, uint16(i/60%256))
		l.parts = len(raws)
		letters = append(letters, l)
		for k, raw := range raws {
			if len(raws) > 1 && c.r.IntN(30) == 0 {
				continue // it never comes
			}
			air = append(air, segment{l, k, raw})
			n++
		}
		c.clock.forward(time.Second)
	}
	for i := range air { // some later than others
		j := min(len(air)-1, i+c.r.IntN(200))
		air[i], air[j] = air[j], air[i]
	}
	for _, s := range air {
		s.of.came[s.n] = true
		c.slots = append(c.slots, s.raw)
		if len(c.slots) >= 5+c.r.IntN(20) {
			c.sweep()
			c.clock.forward(time.Second)
		}
	}
	for range 1000 {
		if len(c.slots) == 0 {
			break
		}
		c.sweep()
	}
	require.Empty(c.t, c.slots, "the card is not empty")
	return letters
}

// judge compares what is there with what was sent.
func (c *card) judge(letters []*letter) {
	events := map[string]int{}
	rows, err := c.db.Read().Query(`SELECT type || ' ' || json_extract(data, '$.id'), count(*) FROM event GROUP BY 1`)
	require.NoError(c.t, err)
	for rows.Next() {
		var what string
		var n int
		require.NoError(c.t, rows.Scan(&what, &n))
		events[what] = n
	}
	require.NoError(c.t, rows.Close())
	type row struct {
		id, text string
		have, of int
		complete bool
	}
	found := map[string][]row{} // by the first part's beginning
	rows, err = c.db.Read().Query(`SELECT id, text, have, total, complete FROM inbound`)
	require.NoError(c.t, err)
	whole, partial := 0, 0
	for rows.Next() {
		var r row
		require.NoError(c.t, rows.Scan(&r.id, &r.text, &r.have, &r.of, &r.complete))
		if r.complete {
			whole++
			found[r.text] = append(found[r.text], r)
			require.Equal(c.t, 1, events["inbound.received "+r.id], r.text)
		} else {
			partial++
			require.Equal(c.t, 1, events["inbound.partial "+r.id], "%+v", r)
			require.Zero(c.t, events["inbound.received "+r.id])
		}
	}
	require.NoError(c.t, rows.Close())
	wantWhole, wantPartial, segments := 0, 0, 0
	for _, l := range letters {
		segments += len(l.came)
		switch {
		case len(l.came) == l.parts:
			wantWhole++
			require.Len(c.t, found[l.text], 1, "lost, or doubled: %s", l.text)
		case len(l.came) > 0:
			wantPartial++
		}
	}
	require.Equal(c.t, []int{wantWhole, wantPartial}, []int{whole, partial})
	require.Equal(c.t, segments, c.count(`SELECT count(*) FROM inbound_raw`))
	require.Equal(c.t, segments, c.count(`SELECT sum(have) FROM inbound`))
}

// TestManyStrangersCannotFillTheBoxEither: two thousand sets are open at most,
// and a hundred of one sender (rule I7); what is closed is kept as it is.
func TestManyStrangersCannotFillTheBoxEither(t *testing.T) {
	b := newBox(t)
	long := strings.Repeat("primera mitad ", 15)
	for i := range openOfAll + 150 {
		from := fmt.Sprintf("+34622%06d", i)
		if i%10 == 0 {
			from = "+34633000000" // more than its hundred
		}
		b.ingest(b.parts(from, fmt.Sprint(i, long), uint16(i%256))[0])
	}
	require.LessOrEqual(t, b.count(`SELECT count(*) FROM inbound WHERE open = 1`), openOfAll)
	require.Greater(t, b.count(`SELECT count(*) FROM inbound WHERE open = 1`), openOfAll-10)
	require.Equal(t, openOfSender, b.count(`SELECT count(*) FROM inbound WHERE open = 1 AND sender = '+34633000000'`))
	require.Equal(t, openOfAll+150, b.count(`SELECT count(*) FROM inbound`))
	require.Equal(t, b.count(`SELECT count(*) FROM inbound WHERE open = 0`), b.count(`SELECT count(*) FROM event WHERE type = 'inbound.partial'`))
}
