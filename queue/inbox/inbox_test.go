package inbox

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"recado/modem/pdu"
	"recado/queue"
	"recado/queue/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Trusted() bool { return true }

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type box struct {
	*Store
	t     *testing.T
	path  string
	db    *sqlite.DB
	queue *queue.Store
	clock *clock
}

func newBox(t *testing.T) *box {
	t.Helper()
	b := &box{t: t, path: filepath.Join(t.TempDir(), "recado.db"), clock: &clock{now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}}
	b.open()
	t.Cleanup(func() { _ = b.db.Close() })
	return b
}

func (b *box) open() {
	b.t.Helper()
	var err error
	b.db, err = sqlite.Open(context.Background(), b.path, sqlite.Options{ReserveWAL: -1, ReserveFree: -1})
	require.NoError(b.t, err)
	b.queue, err = queue.New(context.Background(), b.db, queue.Options{Clock: b.clock})
	require.NoError(b.t, err)
	b.Store = New(b.db, b.queue, Options{Clock: b.clock})
}

func (b *box) restart() {
	b.t.Helper()
	require.NoError(b.t, b.db.Close())
	b.open()
}

const (
	iccid = "8934000000000000001"
	own   = "+34699000001"
	ana   = "+34600111222"
)

// parts are the PDUs of one received text, as a modem gives them.
func (b *box) parts(from, text string, ref uint16) (list [][]byte) {
	b.t.Helper()
	tpdus, err := pdu.DeliverTPDU(from, text, b.clock.Now(), pdu.Options{Ref: ref})
	require.NoError(b.t, err)
	for _, tpdu := range tpdus {
		raw, err := pdu.WithSMSC("+34600000000", tpdu)
		require.NoError(b.t, err)
		list = append(list, raw)
	}
	return list
}

func (b *box) in(raw []byte) In {
	return In{PDU: pdu.Decode(raw), ICCID: iccid, IMSI: "214070000000001", Number: own, Modem: "m1", At: b.clock.Now()}
}

func (b *box) ingest(raws ...[]byte) {
	b.t.Helper()
	for _, raw := range raws {
		require.NoError(b.t, b.Ingest(context.Background(), b.in(raw)))
	}
}

func (b *box) list(f Filter) []Message {
	b.t.Helper()
	list, _, err := b.List(context.Background(), f)
	require.NoError(b.t, err)
	return list
}

func (b *box) events() (types []string) {
	b.t.Helper()
	list, err := b.queue.Events(context.Background(), 0, 10_000)
	require.NoError(b.t, err)
	for _, e := range list {
		types = append(types, e.Type)
	}
	return types
}

func (b *box) count(query string) (n int) {
	b.t.Helper()
	require.NoError(b.t, b.db.Read().QueryRow(query).Scan(&n))
	return n
}

func TestOneTPDUOneMessageOneEvent(t *testing.T) {
	b := newBox(t)
	raw := b.parts(ana, "Hola, ¿está abierto?", 0)[0]
	for range 3 {
		b.ingest(raw) // the delete failed, it is read again
		b.restart()
	}
	list := b.list(Filter{})
	require.Len(t, list, 1)
	m := list[0]
	require.Equal(t, "Hola, ¿está abierto?", m.Text)
	require.Equal(t, []string{ana, own, iccid, KindText}, []string{m.From, m.To, m.SIM, m.Kind})
	require.True(t, m.Complete)
	require.False(t, m.Read)
	require.Equal(t, b.clock.Now(), m.SentAt)
	require.Equal(t, []string{"inbound.received"}, b.events())
	require.Equal(t, 2, b.count(`SELECT dup_count FROM inbound_raw`))
	events, err := b.queue.Events(context.Background(), 0, 1)
	require.NoError(t, err)
	var data map[string]any
	require.NoError(t, json.Unmarshal(events[0].Data, &data))
	require.Equal(t, m.ID, data["id"])
	require.Equal(t, m.Text, data["text"])
	require.Equal(t, own, data["to"])
}

func TestTheSameTextFromAnotherSIMIsAnotherMessage(t *testing.T) {
	b := newBox(t)
	raw := b.parts(ana, "Hola", 0)[0]
	in := b.in(raw)
	b.ingest(raw)
	in.ICCID = "8934000000000000002"
	require.NoError(t, b.Ingest(context.Background(), in))
	require.Len(t, b.list(Filter{}), 2)
}

// Texts of every kind come back whole in whatever order their segments come,
// with repeats and restarts between.
func TestSegmentsInAnyOrder(t *testing.T) {
	b := newBox(t)
	texts := map[string]string{}
	var all [][]byte
	for i := range 12 {
		from := fmt.Sprintf("+346001112%02d", i)
		texts[from] = []string{strings.Repeat("Ñandú con acentos ", 20), strings.Repeat("日本語 😀 emoji ", 12), strings.Repeat("corto{}€ ", 40), "uno"}[i%4]
		all = append(all, b.parts(from, texts[from], uint16(i%2))...)
		b.clock.forward(time.Second)
	}
	all = append(all, all[:10]...)
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for i, raw := range all {
		b.ingest(raw)
		if i == len(all)/2 {
			b.restart()
		}
	}
	list := b.list(Filter{})
	require.Len(t, list, len(texts))
	for _, m := range list {
		require.True(t, m.Complete, "%+v", m)
		require.Equal(t, texts[m.From], m.Text)
		require.Equal(t, m.Of, m.Have)
	}
	require.Len(t, b.events(), len(texts))
}

func TestAnIncompleteMessageIsShownWithItsGaps(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	text := strings.Repeat("a", 153) + strings.Repeat("b", 153) + strings.Repeat("c", 50)
	p := b.parts(ana, text, 9)
	b.ingest(p[1])
	got := b.list(Filter{})[0]
	require.Equal(t, Gap+strings.Repeat("b", 153)+Gap, got.Text)
	require.False(t, got.Complete)
	require.Equal(t, []int{1, 3}, []int{got.Have, got.Of})
	require.NoError(t, b.Tick(ctx))
	require.Empty(t, b.events())
	b.clock.forward(10 * time.Minute)
	require.NoError(t, b.Tick(ctx))
	require.NoError(t, b.Tick(ctx))
	require.Equal(t, []string{"inbound.partial"}, b.events(), "told once")
	b.clock.forward(72 * time.Hour)
	require.NoError(t, b.Tick(ctx))
	require.Zero(t, b.count(`SELECT count(*) FROM inbound WHERE open = 1`))
	_, err := b.SetRead(ctx, got.ID, true)
	require.NoError(t, err)
	b.ingest(p[0], p[2]) // late
	list := b.list(Filter{})
	require.Len(t, list, 1)
	require.Equal(t, got.ID, list[0].ID)
	require.Equal(t, text, list[0].Text)
	require.True(t, list[0].Complete)
	require.False(t, list[0].Read, "who read half of it has not read it")
	require.Equal(t, []string{"inbound.partial", "inbound.received"}, b.events())
	c, err := b.Conversation(ctx, ana)
	require.NoError(t, err)
	require.Equal(t, text, c.LastText)
	require.Equal(t, 1, c.Unread)
}

// References come round: another text with the same one is another message, and
// a segment that the sender sent twice is not.
func TestTheSameReferenceAgain(t *testing.T) {
	b := newBox(t)
	old := b.parts(ana, strings.Repeat("vieja ", 60), 7)
	b.ingest(old[0])
	b.clock.forward(time.Minute)
	twice := b.parts(ana, strings.Repeat("vieja ", 60), 7)
	b.ingest(twice[0]) // another SCTS: not the same octets, the same segment
	require.Len(t, b.list(Filter{}), 1)
	text := strings.Repeat("nueva ", 60)
	b.ingest(b.parts(ana, text, 7)...)
	list := b.list(Filter{})
	require.Len(t, list, 2)
	require.Equal(t, text, list[0].Text)
	require.False(t, list[1].Complete)
	require.Equal(t, []string{"inbound.partial", "inbound.received"}, b.events(), "the old one is given up at once")
	// The whole text again, with the same reference, is a new message.
	b.clock.forward(time.Minute)
	b.ingest(b.parts(ana, text, 7)...)
	require.Equal(t, []string{text, text}, []string{b.list(Filter{})[0].Text, b.list(Filter{})[1].Text})
}

func TestStrangersCannotFillTheBox(t *testing.T) {
	b := newBox(t)
	for i := range openOfSender + 5 {
		b.ingest(b.parts(ana, strings.Repeat("x", 200), uint16(i))[0])
	}
	require.Equal(t, openOfSender, b.count(`SELECT count(*) FROM inbound WHERE open = 1`))
	require.Equal(t, openOfSender+5, b.count(`SELECT count(*) FROM inbound`), "nothing is thrown away")
	require.Len(t, b.events(), 5)
}

func TestWhatIsNoText(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	base := func(raw string) In {
		return In{PDU: pdu.Received{Kind: pdu.KindDeliver, Raw: []byte(raw), Address: ana, Class: -1, DstPort: -1, SrcPort: -1, Encoding: pdu.GSM7, Text: raw},
			ICCID: iccid, At: b.clock.Now()}
	}
	silent, mwi, wap, binary, foreign, broken := base("silent"), base("mwi"), base("wap"), base("binary"), base("foreign"), base("broken")
	silent.PDU.PID = 0x40
	mwi.PDU.MWI = true
	wap.PDU.DstPort = 2948
	binary.PDU.Encoding = pdu.Binary
	foreign.PDU.Kind = pdu.KindSubmit
	broken.PDU = pdu.Decode([]byte{0xFF, 0x01})
	require.Error(t, broken.PDU.Err)
	for _, in := range []In{silent, mwi, wap, binary, foreign, broken} {
		in.IMSI = "1"
		require.NoError(t, b.Ingest(ctx, in))
	}
	var kinds []string
	for _, m := range b.list(Filter{}) {
		kinds = append(kinds, m.Kind)
		require.Empty(t, m.Text)
	}
	require.Equal(t, []string{KindUndecodable, KindBinary, KindBinary}, kinds)
	require.Len(t, b.list(Filter{Kind: KindBinary}), 2)
	require.Len(t, b.list(Filter{Kind: KindUndecodable}), 1)
	unread, err := b.Unread(ctx)
	require.NoError(t, err)
	require.Equal(t, 2, unread, "nobody could ever open what has no sender")
	require.Equal(t, 6, b.count(`SELECT count(*) FROM inbound_raw`))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM inbound_raw WHERE error <> ''`))

	// A status report that came this way goes to the queue.
	tpdu, err := pdu.StatusReportTPDU(5, ana, b.clock.Now(), b.clock.Now(), 0)
	require.NoError(t, err)
	raw, err := pdu.WithSMSC("+34600000000", tpdu)
	require.NoError(t, err)
	b.ingest(raw)
	require.Equal(t, 1, b.count(`SELECT count(*) FROM report`))
}

func TestConversations(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	say := func(from, text string) {
		b.ingest(b.parts(from, text, 0)...)
		b.clock.forward(time.Minute)
	}
	reply := func(to, text string) {
		_, err := b.queue.Submit(ctx, queue.Request{To: []string{to}, Text: text, SIM: iccid}, nil)
		require.NoError(t, err)
		b.clock.forward(time.Minute)
	}
	reply(ana, "Su cita es el lunes")
	require.Zero(t, b.count(`SELECT count(*) FROM conversation`), "nobody has written yet")
	say(ana, "¿A qué hora?")
	say("BANCO", "100% seguro")
	say("600111222", "¿Hola?") // the same number, as a national one
	reply(ana, "A las diez")

	list, next, err := b.Conversations(ctx, Filter{})
	require.NoError(t, err)
	require.Empty(t, next)
	require.Len(t, list, 2)
	require.Equal(t, Conversation{Number: ana, LastAt: b.clock.Now().Add(-time.Minute), LastText: "A las diez", LastOut: true, SIM: iccid, Unread: 2}, list[0])
	require.Equal(t, "BANCO", list[1].Number)

	var texts []string
	cursor := ""
	for {
		page, next, err := b.Thread(ctx, ana, 3, cursor)
		require.NoError(t, err)
		for _, e := range page {
			if e.In != nil {
				texts = append(texts, "> "+e.In.Text)
			} else {
				texts = append(texts, "< "+e.Out.Text)
			}
		}
		if next == "" {
			break
		}
		cursor = next
	}
	require.Equal(t, []string{"< A las diez", "> ¿Hola?", "> ¿A qué hora?", "< Su cita es el lunes"}, texts)

	unread, err := b.Unread(ctx)
	require.NoError(t, err)
	require.Equal(t, 3, unread)
	first := b.list(Filter{From: ana})[0]
	for range 2 {
		m, err := b.SetRead(ctx, first.ID, true)
		require.NoError(t, err)
		require.True(t, m.Read)
	}
	c, err := b.Conversation(ctx, ana)
	require.NoError(t, err)
	require.Equal(t, 1, c.Unread)
	_, err = b.SetRead(ctx, first.ID, false)
	require.NoError(t, err)
	require.NoError(t, b.SetConversationRead(ctx, ana))
	require.Len(t, b.list(Filter{Unread: true}), 1)
	list, _, err = b.Conversations(ctx, Filter{Unread: true})
	require.NoError(t, err)
	require.Len(t, list, 1)

	for search, want := range map[string]int{"100%": 1, "%": 1, "hora": 1, "1112": 1, "nada": 0, "_": 0} {
		list, _, err = b.Conversations(ctx, Filter{Search: search})
		require.NoError(t, err)
		require.Len(t, list, want, search)
	}
	require.Len(t, b.list(Filter{Search: "100%"}), 1)
	_, err = b.Conversation(ctx, "+34600000000")
	require.ErrorIs(t, err, ErrNotFound)
	_, err = b.Get(ctx, "nobody")
	require.ErrorIs(t, err, ErrNotFound)
	_, err = b.SetRead(ctx, "nobody", true)
	require.ErrorIs(t, err, ErrNotFound)
	for _, bad := range []string{"x", "1", "~"} {
		_, _, err = b.Conversations(ctx, Filter{Cursor: bad})
		require.Error(t, err)
		_, _, err = b.Thread(ctx, ana, 1, bad)
		require.Error(t, err)
	}
	_, _, err = b.List(ctx, Filter{Cursor: "x"})
	require.Error(t, err)
}

func TestPagesOfReceivedMessagesAndConversations(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	for i := range 17 {
		b.ingest(b.parts(fmt.Sprintf("+34600111%03d", i), fmt.Sprint("n", i), 0)...)
		if i%3 == 0 {
			b.clock.forward(time.Second) // several have the same time
		}
	}
	seen := map[string]bool{}
	for f := (Filter{Limit: 4}); ; {
		page, next, err := b.List(ctx, f)
		require.NoError(t, err)
		for _, m := range page {
			require.False(t, seen[m.ID])
			seen[m.ID] = true
		}
		if f.Cursor = next; next == "" {
			break
		}
	}
	require.Len(t, seen, 17)
	clear(seen)
	for f := (Filter{Limit: 4}); ; {
		page, next, err := b.Conversations(ctx, f)
		require.NoError(t, err)
		for _, c := range page {
			require.False(t, seen[c.Number])
			seen[c.Number] = true
		}
		if f.Cursor = next; next == "" {
			break
		}
	}
	require.Len(t, seen, 17)
}

func TestAFullDiskLeavesTheMessageWithTheModem(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	require.NoError(t, b.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		var pages int
		if err := tx.QueryRow(`PRAGMA page_count`).Scan(&pages); err != nil {
			return err
		}
		return tx.QueryRow(fmt.Sprintf(`PRAGMA max_page_count = %d`, pages)).Scan(&pages)
	}))
	full := 0
	for i := range 300 {
		err := b.Ingest(ctx, b.in(b.parts(ana, fmt.Sprint("n", i, strings.Repeat("x", 140)), 0)[0]))
		if err != nil {
			require.ErrorIs(t, err, sqlite.ErrFull)
			full++
		}
	}
	require.Positive(t, full)
	require.Equal(t, 300-full, b.count(`SELECT count(*) FROM inbound_raw`))
	require.Equal(t, 300-full, b.count(`SELECT count(*) FROM inbound`))
	require.Equal(t, 300-full, len(b.events()))
}
