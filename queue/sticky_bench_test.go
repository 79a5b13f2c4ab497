package queue

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"recado/queue/sqlite"
)

// BenchmarkSubmitMany is 10,000 recipients in ten requests: alone; with four SIMs of
// which one could be preferred, and nobody who knows one; with everybody knowing one.
func BenchmarkSubmitMany(b *testing.B) {
	for _, with := range []string{"alone", "sims", "known"} {
		b.Run(with, func(b *testing.B) {
			box := newBox(b)
			if with != "alone" {
				for n := range 4 {
					require.NoError(b, box.SawSIM(context.Background(), SIMRow{ICCID: line(n + 1).ICCID}))
				}
			}
			requests := make([]Request, 10)
			for i := range requests {
				requests[i].Text = "Su cita es mañana a las 10:30"
				for k := range 1000 {
					requests[i].To = append(requests[i].To, fmt.Sprintf("+3460%07d", i*1000+k))
				}
			}
			if with == "known" {
				require.NoError(b, box.db.Write(context.Background(), sqlite.Ordinary, func(tx *sqlite.Tx) error {
					for _, r := range requests {
						for i, to := range r.To {
							if _, err := tx.Exec(`INSERT INTO conversation (number, last_at, last_text, last_in, iccid) VALUES (?, 1, '', 1, ?)`, to, line(i%4+1).ICCID); err != nil {
								return err
							}
						}
					}
					return nil
				}))
			}
			for b.Loop() {
				for _, r := range requests {
					_, err := box.Submit(context.Background(), r, nil)
					require.NoError(b, err)
				}
			}
			b.ReportMetric(float64(b.N)*10_000/b.Elapsed().Seconds(), "msg/s")
		})
	}
}
