package proof

import (
	"context"
	"database/sql"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/queue/sqlite"
)

// outcome is what is left in the end: the database's side and the network's.
type outcome struct {
	Requests []request
	Drained  bool // nothing was left to be sent
	Ledger   []emulator.Entry
	Messages []message
	Attempts []attempt
	Retries  map[string]int // message → how often it was sent again without an answer
	Inbound  []inbound
	Events   []event
	API      map[string]string // id → state, as GET /messages/{id} says; "" not found
}

type message struct {
	Seq                                       int64
	ID, To, Text, Class, Delivery, State, SIM string
	Reason                                    string
	Segments                                  int
	PossibleDuplicate                         bool
	SegmentStates                             []string
}

type attempt struct {
	ID             int64
	Message        string // id
	N, Edition     int
	SIM            string
	Phase, Outcome string
	MR             int
}

type inbound struct{ ID, From, Text string }

type event struct {
	Seq  int64
	Type string
	ID   string // of the message that it is about
}

// outcome stops the daemon, asks before that what the API says of what was
// acknowledged, and reads the rest from the file.
func (b *box) outcome() outcome {
	b.t.Helper()
	o := outcome{Requests: b.history.all(), API: map[string]string{}, Retries: map[string]int{}}
	for _, r := range o.Requests {
		id := r.acknowledged()
		if id == "" {
			continue
		}
		var said struct{ State string }
		if err := b.get("/api/v1/messages/"+id, &said); err == nil {
			o.API[id] = said.State
		} else {
			b.t.Logf("%v", err)
			o.API[id] = ""
		}
	}
	b.stop()
	o.Ledger = b.ledger()
	db, err := sqlite.Open(context.Background(), filepath.Join(b.data(), "recado.db"), sqlite.Options{})
	require.NoError(b.t, err)
	defer func() { require.NoError(b.t, db.Close()) }()
	var check string
	require.NoError(b.t, db.Read().QueryRow(`PRAGMA integrity_check`).Scan(&check))
	require.Equal(b.t, "ok", check)
	each := func(query string, row func(*sql.Rows) error) {
		b.t.Helper()
		rows, err := db.Read().Query(query)
		require.NoError(b.t, err)
		defer rows.Close()
		for rows.Next() {
			require.NoError(b.t, row(rows))
		}
		require.NoError(b.t, rows.Err())
	}
	at := map[int64]int{}
	each(`SELECT seq, id, recipient, text, class, delivery, state, reason, sim, segments, possible_duplicate FROM message ORDER BY seq`, func(rows *sql.Rows) error {
		var m message
		err := rows.Scan(&m.Seq, &m.ID, &m.To, &m.Text, &m.Class, &m.Delivery, &m.State, &m.Reason, &m.SIM, &m.Segments, &m.PossibleDuplicate)
		at[m.Seq] = len(o.Messages)
		o.Messages = append(o.Messages, m)
		return err
	})
	each(`SELECT message, state FROM segment ORDER BY message, n`, func(rows *sql.Rows) error {
		var seq int64
		var state string
		err := rows.Scan(&seq, &state)
		m := &o.Messages[at[seq]]
		m.SegmentStates = append(m.SegmentStates, state)
		return err
	})
	each(`SELECT a.id, m.id, a.n, a.edition, a.iccid, a.phase, a.outcome, a.mr FROM attempt a JOIN message m ON m.seq = a.message ORDER BY a.id`, func(rows *sql.Rows) error {
		var a attempt
		err := rows.Scan(&a.ID, &a.Message, &a.N, &a.Edition, &a.SIM, &a.Phase, &a.Outcome, &a.MR)
		o.Attempts = append(o.Attempts, a)
		return err
	})
	each(`SELECT m.id FROM history h JOIN message m ON m.seq = h.message WHERE h.event = 'retry'`, func(rows *sql.Rows) error {
		var id string
		err := rows.Scan(&id)
		o.Retries[id]++
		return err
	})
	each(`SELECT id, sender, text FROM inbound ORDER BY seq`, func(rows *sql.Rows) error {
		var in inbound
		err := rows.Scan(&in.ID, &in.From, &in.Text)
		o.Inbound = append(o.Inbound, in)
		return err
	})
	each(`SELECT seq, type, data FROM event ORDER BY seq`, func(rows *sql.Rows) error {
		var e event
		var data string
		if err := rows.Scan(&e.Seq, &e.Type, &data); err != nil {
			return err
		}
		var about struct{ ID string }
		err := json.Unmarshal([]byte(data), &about)
		e.ID = about.ID
		o.Events = append(o.Events, e)
		return err
	})
	return o
}

// keep copies what a failed proof has to show to where RECADO_PROOF_KEEP says.
func (b *box) keep() {
	if to := os.Getenv("RECADO_PROOF_KEEP"); to != "" {
		require.NoError(b.t, os.CopyFS(filepath.Join(to, strings.ReplaceAll(b.t.Name(), "/", "_")), os.DirFS(b.folder)))
	}
}
