package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
)

// TestEndToEnd: the real program on modems that another process emulates, half on ptys, half
// on TCP. What the network's ledger says and what the API says must be one to one: nothing missing,
// nothing twice, every text equal, every MR and report on the right message, every answer in.
func TestEndToEnd(t *testing.T) {
	t.Parallel()
	const modems, messages = 8, 240
	folder := t.TempDir()
	ledger := filepath.Join(folder, "ledger.jsonl")
	network := launch(t, "emulate", "--modems", fmt.Sprint(modems), "--dir", folder, "--tcp", "127.0.0.1:0",
		"--latency", "100ms", "--ledger", ledger)
	network.says("(?m)^ready$")
	var ports []string
	for i := range modems {
		where := network.says(fmt.Sprintf(`(?m)^modem%d \S+ (\S+ \S+)$`, i))
		pty, tcp, _ := strings.Cut(where, " ")
		ports = append(ports, "--modem", map[bool]string{true: pty, false: tcp}[i%2 == 0])
	}
	d := serving(t, dataFolder(t), append(ports, "--open-limits")...)
	d.lines(modems)

	texts := []string{
		"Su cita es mañana a las 9:30.",
		strings.Repeat("Un texto largo que ocupa varias partes, con {llaves} y €. ", 6),
		"Ñandú, pingüino, camión: ÁÉÍÓÚ áéíóú ¿¡",
		"Отправлено кириллицей",
		"Emoji 😀👍🏽 y ñ",
		strings.Repeat("😀á", 60),
		"linea uno\nlinea dos\r\n\ttabulador",
		strings.Repeat("a", 160),
		strings.Repeat("a", 161),
		"@£$¥èéùìòÇ {}[]~\\|^€",
	}
	want := map[string]string{} // recipient → text
	ids := map[string]string{}  // recipient → message
	type job struct{ to, text string }
	jobs := make(chan job)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for j := range jobs {
				var out posted
				status, err := d.try("POST", "/api/v1/messages", map[string]any{"to": j.to, "text": j.text, "max_segments": 12}, &out)
				if err != nil || status != http.StatusAccepted || len(out.Messages) != 1 {
					t.Errorf("POST to %s: %d %v", j.to, status, err)
					continue
				}
				mu.Lock()
				ids[j.to] = out.Messages[0].ID
				mu.Unlock()
			}
		})
	}
	for i := range messages {
		to := fmt.Sprintf("+346001%05d", i)
		text := fmt.Sprintf("%s [%d]", texts[i%len(texts)], i)
		if i%10 == 9 { // answered: "Recibido: " and the text
			to = fmt.Sprintf("+346%d9999201", i/10%10)
			if want[to] != "" {
				continue
			}
			text = fmt.Sprintf("¿Viene? %d", i)
		}
		want[to] = text
		jobs <- job{to, text}
	}
	close(jobs)
	wg.Wait()
	require.Equal(t, len(want), len(ids))

	// Every message comes to its end, every answer in.
	answers := 0
	for to := range want {
		if strings.HasSuffix(to, "9999201") {
			answers++
		}
	}
	got := map[string]apiMessage{}
	for to, id := range ids {
		d.becomes(id, "delivered")
		got[to] = d.message(id)
	}
	type inbound struct {
		Items []struct{ From, Text string }
	}
	var in inbound
	eventually(t, func() bool {
		in = inbound{}
		d.ask("GET", "/api/v1/inbox?limit=500", nil, &in)
		return len(in.Items) >= answers
	}, "all answers received")

	d.signal(syscall.SIGTERM)
	require.Zero(t, d.ends(60*1e9))
	network.signal(syscall.SIGTERM)
	require.Zero(t, network.ends(20*1e9))
	entries := readLedger(t, ledger)

	// The ledger's side: segments by recipient, in the order of acceptance.
	submitted := map[string][]emulator.Entry{}
	reported := map[int]int{} // Seq of the submit → reports
	for _, e := range entries {
		switch {
		case e.Type == emulator.EntrySubmit && e.Accepted:
			require.True(t, e.Answered)
			submitted[e.DA] = append(submitted[e.DA], e)
		case e.Type == emulator.EntrySubmit:
			t.Errorf("the network refused a segment: %+v", e)
		case e.Type == emulator.EntryReport:
			reported[e.Ref]++
		}
	}
	require.Equal(t, len(want), len(submitted), "nothing that nobody asked for")
	perSIM := map[string]int{}
	for to, text := range want {
		m, sent := got[to], submitted[to]
		require.Equal(t, text, m.Text)
		require.Len(t, sent, len(m.Segments), "segments of %s: nothing missing, nothing twice", to)
		require.False(t, m.PossibleDuplicate)
		var whole strings.Builder
		for i, e := range sent {
			whole.WriteString(e.Text)
			require.Equal(t, m.Segments[i].N, i+1)
			require.NotNil(t, m.Segments[i].MR)
			require.Equal(t, e.MR, *m.Segments[i].MR, "MR of segment %d to %s", i+1, to)
			require.Equal(t, "delivered", m.Segments[i].State)
			require.Equal(t, 1, reported[e.Seq], "one report a segment")
			require.NotNil(t, m.SIM)
			require.Equal(t, *m.SIM, e.SIM, "all segments on the SIM that the API names")
			perSIM[e.SIM]++
		}
		require.Equal(t, text, whole.String(), "text to %s", to)
	}
	require.Len(t, perSIM, modems, "every SIM was used: %v", perSIM)

	// What came in: each answer once, whole, with its text.
	require.Len(t, in.Items, answers)
	for _, m := range in.Items {
		require.Equal(t, "Recibido: "+want[m.From], m.Text)
		delete(want, m.From)
	}
}

func readLedger(t *testing.T, path string) []emulator.Entry {
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var entries []emulator.Entry
	for line := range strings.Lines(string(text)) {
		var e emulator.Entry
		require.NoError(t, json.Unmarshal([]byte(line), &e), line)
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b emulator.Entry) int { return a.Seq - b.Seq })
	return entries
}
