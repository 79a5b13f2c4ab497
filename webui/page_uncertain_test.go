package webui

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"recado/queue"
	"recado/queue/sqlite"
	"recado/webui/auth"
)

// loses has a message of a class lose its answer, and gives its id.
func (b *box) loses(class queue.Class, delivery queue.Delivery) string {
	b.t.Helper()
	line := queue.Line{ICCID: "8934", IMSI: "21407", Modem: "m"}
	r, err := b.s.store.Submit(b.t.Context(), queue.Request{To: []string{"600111222"}, Text: "Su código es 4711", Class: class, Delivery: delivery}, nil)
	require.NoError(b.t, err)
	c, err := b.s.store.Claim(b.t.Context(), line)
	require.NoError(b.t, err)
	attempt, err := b.s.store.Gate(b.t.Context(), line, c.Message.Seq, 1)
	require.NoError(b.t, err)
	_, err = b.s.store.Outcome(b.t.Context(), attempt, queue.Outcome{Verdict: queue.Ambiguous, MR: -1, Code: "timeout", Class: "unknown", At: b.clock.Now()}, nil)
	require.NoError(b.t, err)
	return r.Messages[0].ID
}

// TestWhatIsAwaitedOfALostAnswerIsTold: for how long, and what happens then, by the
// message's own delivery.
func TestWhatIsAwaitedOfALostAnswerIsTold(t *testing.T) {
	b := newBox(t, 0)
	clerk := b.cookie(auth.RoleOperator)
	page := func(id string) string { return text(b.browse("GET", "/messages/"+id, clerk, nil)) }
	const never, once, again = "no se repite solo: decide una persona", "se envía una vez más", "se envía otra vez, hasta tres intentos"
	for _, c := range []struct {
		class    queue.Class
		delivery queue.Delivery
		window   string
		says     string
	}{
		{queue.OTP, "", "60 segundos", never},
		{queue.Bulk, "", "10 minutos", never},
		{queue.Normal, "", "3 minutos", once},
		{queue.Alert, "", "20 segundos", again},
		{queue.Alert, queue.AtMostOnce, "20 segundos", never},
		{queue.Normal, queue.AtLeastOnce, "3 minutos", again},
	} {
		id := b.loses(c.class, c.delivery)
		got := page(id)
		require.Contains(t, got, "Durante "+c.window+" se esperan pruebas", c)
		for _, words := range []string{never, once, again} {
			require.Equal(t, words == c.says, strings.Contains(got, words), "%v: %s", c, words)
		}
		require.Contains(t, got, "El módem no contestó a tiempo", "and why")
		_, err := b.s.store.Resolve(t.Context(), id, queue.ResolveSent, "tester") // out of the next one's way
		require.NoError(t, err)
	}

	// Held for good it awaits nothing that would send it.
	id := b.loses(queue.Normal, "")
	_, err := b.s.store.HoldAll(t.Context(), queue.ReasonRestored)
	require.NoError(t, err)
	require.Contains(t, page(id), "No se repite solo: hace falta que alguien decida")
	require.NotContains(t, page(id), once)
}

// TestATextThatIsDeletedCannotBeSentAgain: nobody is offered what would be refused,
// and nobody wonders at an empty bubble.
func TestATextThatIsDeletedCannotBeSentAgain(t *testing.T) {
	b := newBox(t, 0)
	clerk := b.cookie(auth.RoleOperator)
	id := b.loses(queue.OTP, "")
	require.Contains(t, text(b.browse("GET", "/messages/"+id, clerk, nil)), "Enviarlo otra vez")
	require.NoError(t, b.db.Write(t.Context(), sqlite.Ordinary, func(tx *sqlite.Tx) error {
		_, err := tx.Exec(`UPDATE message SET text = '', text_deleted_at = ? WHERE id = ?`, b.clock.Now().UnixMilli(), id)
		return err
	}))
	page := text(b.browse("GET", "/messages/"+id, clerk, nil))
	require.Contains(t, page, "Su texto se borró el ")
	require.Contains(t, page, "No se puede enviar otra vez")
	require.NotContains(t, page, "Enviarlo otra vez")
	require.Contains(t, text(b.browse("GET", "/messages", clerk, nil)), "Texto borrado")
	require.Equal(t, 409, b.browse("POST", "/messages/"+id+"/resolve", clerk, url.Values{"action": {"resend"}}).StatusCode)
	p := b.problem(b.do("POST", v1+"/messages/"+id+"/resolve", map[string]any{"action": "resend"}), 409, "conflict")
	require.Contains(t, p.Detail, "its text is deleted")

	require.Equal(t, 200, b.do("POST", v1+"/messages/"+id+"/resolve", map[string]any{"action": "mark_sent"}).StatusCode)
	page = text(b.browse("GET", "/messages/"+id, clerk, nil))
	require.Contains(t, page, "Una persona lo dio por enviado")
	require.NotContains(t, page, "La red lo ha aceptado", "nobody knows that")
	require.NotContains(t, page, "Aceptado por la red")
	require.Equal(t, 1, strings.Count(b.auditRows(), "message.resolve "+id+" mark_sent"), "once, by whoever did it")
	p = b.problem(b.do("POST", v1+"/messages/"+id+"/resolve", map[string]any{"action": "mark_sent"}), 409, "conflict")
	require.Contains(t, p.Detail, "only an uncertain message")
}

// TestAChoiceOutlivesTheRenewalOfItsPage: the part of the page that renews itself has
// the choice in it, and the script leaves such a part alone while something is chosen.
// (That it does was seen in a browser.)
func TestAChoiceOutlivesTheRenewalOfItsPage(t *testing.T) {
	b := newBox(t, 0)
	page := string(b.browse("GET", "/messages/"+b.loses(queue.Normal, ""), b.cookie(auth.RoleOperator), nil).body)
	_, part, live := strings.Cut(page, `<div id="message" hx-get=`)
	require.True(t, live)
	require.Contains(t, part, `<input type="radio" name="action"`)
	script, err := staticFiles.ReadFile("static/recado.js")
	require.NoError(t, err)
	require.Regexp(t, `!part\.matches\('[^']*#message\b`, string(script))
	require.Contains(t, string(script), "f.checked !== f.defaultChecked")
}
