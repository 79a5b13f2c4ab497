package queue

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What a SIM has used, or its limits, cannot be read: that SIM sends nothing, until
// the window ends or somebody sets them, and is told; the others send.
func TestADamagedCountHindersOneSIM(t *testing.T) {
	ctx := context.Background()
	again := LimitsPatch{Limits: &[]Limit{{WindowDay, 5, 0}}}
	for name, c := range map[string]struct {
		query string
		mend  func(b *box, iccid string)
		after int // so many it may send of five then
	}{
		"a day's segments":     {`UPDATE usage_period SET segments = 'torn' WHERE window = 'day' AND iccid = ?`, nil, 5},
		"a day's recipients":   {`UPDATE usage_period SET recipients = x'00' WHERE window = 'day' AND iccid = ?`, nil, 5},
		"when it sent":         {`UPDATE usage SET at = 'torn' WHERE iccid = ?`, nil, 1},
		"to whom":              {`UPDATE usage SET recipient = x'ff', at = 1.5 WHERE iccid = ?`, nil, 1},
		"a limit":              {`UPDATE sim_limit SET max_segments = 'torn' WHERE window = 'minute' AND iccid = ?`, func(b *box, iccid string) { require.NoError(b.t, b.SetLimits(ctx, iccid, again)) }, 4},
		"the reserve":          {`UPDATE sim SET reserve_percent = 'torn' WHERE iccid = ?`, func(b *box, iccid string) { require.NoError(b.t, b.SetLimits(ctx, iccid, again)) }, 4},
		"the day of the month": {`UPDATE sim SET reset_day = x'01', limits_set = 'yes' WHERE iccid = ?`, func(b *box, iccid string) { require.NoError(b.t, b.SetLimits(ctx, iccid, again)) }, 4},
	} {
		t.Run(name, func(t *testing.T) {
			zone(t, time.UTC)
			b := newBox(t)
			good, bad := line(1), line(2)
			b.known(good, bad)
			b.limit(bad, Limit{WindowMinute, 1, 0}, Limit{WindowDay, 5, 5}, Limit{WindowMonth, 100, 0})
			b.to(OTP, ana)
			_, a := b.gated(bad)
			b.outcome(a, accepted(0))
			b.clock.forward(2 * time.Minute)
			b.to(OTP, bea, cid, "+34600111004", "+34600111005", "+34600111006", "+34600111007")
			b.raw(`UPDATE message SET expires_at = 1e14`)
			b.raw(c.query, bad.ICCID)
			b.restart()
			got, who, err := b.ClaimFor(ctx, []Line{bad, good}, nil)
			require.NoError(t, err)
			require.NotNil(t, got)
			require.Equal(t, 1, who, "the other one sends")
			require.NoError(t, b.Unclaim(ctx, good.ICCID, got.Message.Seq, Outcome{Retry: true}))
			room := b.room(bad)
			require.Zero(t, min(room.Segments[LaneOTP], room.Recipients[LaneOTP]))
			require.Nil(t, b.claimed(bad))
			all, err := b.AllLimits(ctx)
			require.NoError(t, err)
			require.Len(t, all, 2)
			require.Equal(t, c.mend != nil, all[bad.ICCID].Damaged)
			b.wake()
			told := 0
			list, err := b.Events(ctx, 0, 10_000)
			require.NoError(t, err)
			for _, e := range list {
				if e.Type == "system.damaged" {
					told++
					require.Contains(t, string(e.Data), bad.ICCID)
				}
			}
			require.Equal(t, 1, told, "once")

			if c.mend != nil {
				c.mend(b, bad.ICCID)
				require.False(t, b.limitsOf(bad).Damaged)
			} else if c.after == 1 {
				b.clock.forward(time.Minute + slack + time.Millisecond)
			} else {
				b.clock.forward(24 * time.Hour)
				b.limit(bad, Limit{WindowDay, 5, 5})
			}
			require.Equal(t, c.after, b.sends(bad, 10))
		})
	}
}

// What of an attempt cannot be counted does not end its message.
func TestADamagedCountEndsNoMessage(t *testing.T) {
	for name, query := range map[string]string{
		"day":       `UPDATE usage_period SET segments = 'torn', recipients = 'torn' WHERE iccid = ?`,
		"recipient": `UPDATE usage_recipient SET n = 'torn' WHERE iccid = ?`,
		"gate":      `UPDATE usage SET at = 'torn', day = x'00', month = x'00', recipient = x'00' WHERE iccid = ?`,
		"limit":     `UPDATE sim_limit SET max_segments = 'torn' WHERE iccid = ?`,
		"SIM":       `UPDATE sim SET reset_day = 'torn', reserve_percent = 'torn', warm = 'torn', warm_day = x'00', sent_total = 'torn', limit_told = 'torn' WHERE iccid = ?`,
	} {
		for _, o := range []Outcome{{Verdict: NotSent, MR: -1, Retry: true}, accepted(0)} {
			for _, restarts := range []bool{false, true} {
				t.Run(name, func(t *testing.T) {
					b := newBox(t)
					l := line(1)
					b.known(l)
					b.limit(l, Limit{WindowMinute, 5, 5}, Limit{WindowDay, 5, 5})
					b.to(OTP, ana)
					c, a := b.gated(l)
					b.raw(query, l.ICCID)
					if restarts {
						b.usage.forget()
					}
					b.outcome(a, o)
					want := Sent
					if o.Verdict == NotSent {
						want = Queued
					}
					require.Equal(t, want, b.get(c.Message.ID).State)
					if name == "day" && o.Verdict == NotSent {
						require.Equal(t, 5, b.limitsOf(l).Limits[daily].UsedSegments, "nobody knows of how many it was one")
					}
				})
			}
		}
	}
}
