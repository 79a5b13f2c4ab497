package pdu

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// golden is a file of testdata/golden: PDUs that other programs made, or read.
type golden struct {
	Origin  string
	Submit  []goldenMessage
	Deliver []goldenMessage
}

type goldenMessage struct {
	Name, Address, Text string
	Time                time.Time // TP-SCTS, where it is checked
	Exact               bool      // ours must be the same to the octet
	PDUs                []string
}

func goldens(t testing.TB) map[string]golden {
	files, err := filepath.Glob("testdata/golden/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	all := map[string]golden{}
	for _, file := range files {
		octets, err := os.ReadFile(file)
		require.NoError(t, err)
		var g golden
		require.NoError(t, json.Unmarshal(octets, &g), file)
		require.NotEmpty(t, g.Origin)
		all[filepath.Base(file)] = g
	}
	return all
}

func TestGoldenSubmits(t *testing.T) {
	for file, g := range goldens(t) {
		for _, m := range g.Submit {
			t.Run(file+"/"+m.Name, func(t *testing.T) {
				parts := m.read(t, KindSubmit)
				if !m.Exact {
					return
				}
				first := parts[0]
				o := Options{Encoding: first.Encoding, Flash: first.Class == 0, Validity: first.Validity, Report: first.Report}
				if first.Concat != nil {
					o.Ref, o.Wide = first.Concat.Ref, first.Concat.Wide
				}
				ours, err := Encode(m.Address, m.Text, o)
				require.NoError(t, err)
				require.Len(t, ours, len(m.PDUs))
				for i, s := range ours {
					theirs := parts[i].Raw[1+parts[i].Raw[0]:]
					theirs[1] = 0 // TP-MR is the modem's to set
					require.Equal(t, hex.EncodeToString(theirs), hex.EncodeToString(s.TPDU))
					require.Equal(t, parts[i].Text, s.Text)
				}
			})
		}
	}
}

func TestGoldenDelivers(t *testing.T) {
	for file, g := range goldens(t) {
		for _, m := range g.Deliver {
			t.Run(file+"/"+m.Name, func(t *testing.T) {
				for _, r := range m.read(t, KindDeliver) {
					require.False(t, r.SCTS.IsZero())
					if !m.Time.IsZero() {
						require.True(t, m.Time.Equal(r.SCTS), "%v", r.SCTS)
					}
				}
			})
		}
	}
}

// read reads a golden message's segments, which must be in order.
func (m goldenMessage) read(t *testing.T, kind Kind) []Received {
	var parts []Received
	for i, line := range m.PDUs {
		r := DecodeHex(line)
		require.NoError(t, r.Err)
		require.Equal(t, kind, r.Kind)
		require.Equal(t, m.Address, r.Address)
		if len(m.PDUs) > 1 {
			require.Equal(t, uint8(i+1), r.Concat.Seq)
			require.Equal(t, uint8(len(m.PDUs)), r.Concat.Total)
			require.Equal(t, DecodeHex(m.PDUs[0]).Concat.Ref, r.Concat.Ref)
		}
		raw, err := hex.DecodeString(line)
		require.NoError(t, err)
		require.True(t, bytes.Equal(raw, r.Raw))
		parts = append(parts, r)
	}
	require.Equal(t, m.Text, JoinText(parts))
	return parts
}
