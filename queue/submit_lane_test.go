package queue

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"recado/queue/sqlite"
)

// Whoever posts a campaign: a code and an alert are on disk before what of it waits,
// and what is for a few before what is for many.
func TestACodeIsNotAcceptedBehindACampaign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t)
		free, done := make(chan struct{}), make(chan error)
		go func() {
			done <- b.db.Write(context.Background(), sqlite.Urgent, func(*sqlite.Tx) error { <-free; return nil })
		}()
		synctest.Wait()
		post := []Request{{Class: Bulk, To: numbered(1000)}, {Class: Bulk, To: numbered(30)}, {Class: OTP, To: numbered(30)},
			{Class: Bulk}, {Class: Normal}, {Class: Alert}, {Class: OTP}}
		for _, r := range post {
			if r.Text = "Hola"; r.To == nil {
				r.To = numbered(1)
			}
			go func() {
				_, err := b.Submit(context.Background(), r, nil)
				done <- err
			}()
			synctest.Wait()
		}
		close(free)
		for range len(post) + 1 {
			require.NoError(t, <-done)
		}
		var order []string
		rows, err := b.db.Read().Query(`SELECT class, count(*) FROM (SELECT class, seq, seq - row_number() OVER (PARTITION BY class ORDER BY seq) AS island FROM message)
			GROUP BY class, island ORDER BY min(seq)`)
		require.NoError(t, err)
		defer rows.Close()
		for rows.Next() {
			var class string
			var n int
			require.NoError(t, rows.Scan(&class, &n))
			order = append(order, fmt.Sprint(class, n))
		}
		require.NoError(t, rows.Err())
		require.Equal(t, []string{"alert1", "otp1", "bulk1", "normal1", "bulk1030", "otp30"}, order)
	})
}

// numbered gives n numbers.
func numbered(n int) (to []string) {
	for i := range n {
		to = append(to, fmt.Sprintf("+346%08d", i))
	}
	return to
}
