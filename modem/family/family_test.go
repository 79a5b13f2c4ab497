package family

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestUnknownMakesAreGeneric(t *testing.T) {
	require.Same(t, &Generic, Match("Acme", "Foo 3000"))
	require.Same(t, &Generic, Match("", ""))
}

// TestGenericIsSafe pins what a modem that nobody knows must not be spared.
func TestGenericIsSafe(t *testing.T) {
	g := Generic
	require.GreaterOrEqual(t, g.ResultTimeout, 180*time.Second, "shorter is the known source of duplicates")
	require.GreaterOrEqual(t, g.PromptTimeout, 10*time.Second)
	require.Zero(t, g.Pace, "no pause on the way of a message")
	require.Zero(t, g.AfterPrompt)
	require.Equal(t, CNMI{2, 1, 0, 1, 0}, g.CNMI[0])
	seen := map[CNMI]bool{}
	reports := true
	for _, c := range g.CNMI {
		require.False(t, seen[c], "%v twice", c)
		seen[c] = true
		require.Equal(t, 1, c.MT, "stored and announced, never pushed: %v", c)
		require.Zero(t, c.BM)
		require.True(t, reports || c.DS == 0, "a setting with reports after one without")
		reports = c.DS != 0
	}
	require.NotEmpty(t, g.PINTries)
	require.NotEmpty(t, g.ICCID)
	require.Equal(t, "+CFUN=1,1", g.Reset)
	require.True(t, containsAny("huawei technologies", []string{"x", "HUAWEI"}))
	require.False(t, containsAny("acme", nil))
}
