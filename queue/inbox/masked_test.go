package inbox

import (
	"testing"

	"github.com/stretchr/testify/require"

	"recado/queue"
)

// TestMaskedOnlyWhereTheNumberStandsAlone: an erasure must not spoil what the
// audit trail says of others.
func TestMaskedOnlyWhereTheNumberStandsAlone(t *testing.T) {
	long := []string{"+34600111222", "34600111222", "600111222"}
	m := queue.Masked("600111222")
	for text, want := range map[string]string{
		"to 600111222, again 600111222": "to " + m + ", again " + m,
		`{"to":"600111222"}`:            `{"to":"` + m + `"}`,
		"to:+34600111222.":              "to:" + queue.Masked("+34600111222") + ".",
		"6001112223 and 1600111222":     "6001112223 and 1600111222",
		"id a600111222b":                "id a600111222b",
		"6001112223 600111222":          "6001112223 " + m,
	} {
		require.Equal(t, want, masked(text, long), text)
	}
	require.Equal(t, "2026-11-22 1004 messages", masked("2026-11-22 1004 messages", []string{"1004"}), "too short to be told from others")
	require.Equal(t, "on 2026-22155", masked("on 2026-22155", []string{"2215"}))
	require.Equal(t, "from "+queue.Masked("Mi Banco"), masked("from Mi Banco", []string{"Mi Banco"}))
	require.Equal(t, "Mi Bancos", masked("Mi Bancos", []string{"Mi Banco"}))
}
