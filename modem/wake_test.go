package modem

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestLossesOfAReadyLine make the learned pause longer.
func TestLossesOfAReadyLine(t *testing.T) {
	withPeer(t, &peer{script: plain(), deaf: 80 * time.Millisecond}, func(l *lifeOf, p *peer) {
		l.ready()
		p.mu.Lock()
		p.mute = []string{"+CSQ"}
		p.mu.Unlock()
		l.until("the first loss", 10*time.Minute, func() bool { return p.count("AT+CSQ") >= 1 })
		p.mu.Lock()
		p.mute = []string{"+CREG?"}
		p.mu.Unlock()
		l.pass(2 * time.Minute)
		require.NoError(l.t, l.m.Disable(l.t.Context()))
		l.state(StateDisabled, 10*time.Second)
		require.Greater(l.t, l.m.life.pace, 250*time.Millisecond) // its owner only waits now
		require.LessOrEqual(l.t, l.m.life.pace, paceLongest)
	})
}
