package webui

import (
	"context"
	"encoding/json"
	"errors"
	"html"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/queue"
	"recado/queue/backup"
	"recado/queue/clock"
	"recado/queue/sqlite"
	"recado/webui/auth"
)

// reader is somebody at a browser, in English.
type reader struct {
	b            *box
	cookie, name string
}

func (b *box) looks(role auth.Role) reader {
	b.t.Helper()
	return reader{b, b.cookie(role) + "; " + cookieLang + "=en", "the " + string(role)}
}

// page is one that can be seen.
func (p reader) page(path string) string {
	p.b.t.Helper()
	a := p.b.browse("GET", path, p.cookie, nil)
	require.Equal(p.b.t, 200, a.StatusCode, "%s %s", path, a.body)
	return html.UnescapeString(string(a.body))
}

func (p reader) post(path string, form url.Values) answer {
	p.b.t.Helper()
	if form == nil {
		form = url.Values{}
	}
	return p.b.browse("POST", path, p.cookie, form)
}

// ask asks the API with the administrator's key, and reads what it answers.
func (b *box) ask(method, path string, body, into any) {
	b.t.Helper()
	a := b.do(method, path, body)
	require.Equal(b.t, 200, a.StatusCode, "%s %s", path, a.body)
	require.NoError(b.t, json.Unmarshal(a.body, into))
}

// holds submits so many messages of each class and holds all.
func (b *box) holds(n int, reason string) (ids []string) {
	b.t.Helper()
	for i := range n {
		for _, class := range []queue.Class{queue.Normal, queue.Bulk} {
			res, err := b.s.store.Submit(context.Background(), queue.Request{Class: class, Text: "Su cita es a las 9:30",
				To: []string{"+3460011" + strconv.Itoa(1000+i)}}, nil)
			require.NoError(b.t, err)
			ids = append(ids, res.Messages[0].ID)
		}
	}
	_, err := b.s.store.HoldAll(context.Background(), reason)
	require.NoError(b.t, err)
	return ids
}

func TestHeldOverTheAPI(t *testing.T) {
	b := newBox(t, 0)
	ids := b.holds(3, queue.ReasonRestored)
	var h Held
	b.ask("GET", v1+"/held", nil, &h)
	require.Equal(t, 6, h.Total)
	require.Len(t, h.Items, 2)
	require.Equal(t, HeldGroup{"restored", "normal", 3, h.Items[0].Oldest}, h.Items[0])

	b.problem(b.do("POST", v1+"/held/release", map[string]any{}), 422, "invalid")
	b.problem(b.do("POST", v1+"/messages/nobody/release", nil), 404, "not_found")
	var done HeldDone
	b.ask("POST", v1+"/held/release", map[string]any{"reason": "restored", "class": "normal"}, &done)
	require.Equal(t, HeldDone{3, 3}, done)
	b.problem(b.do("POST", v1+"/messages/"+ids[0]+"/release", nil), 409, "conflict")
	var m Message
	b.ask("POST", v1+"/messages/"+ids[1]+"/release", nil, &m)
	require.Equal(t, "queued", m.State)
	b.ask("POST", v1+"/held/discard", map[string]any{"all": true}, &done)
	require.Equal(t, HeldDone{2, 0}, done)
	b.ask("GET", v1+"/messages/"+ids[3], nil, &m)
	require.Equal(t, "cancelled", m.State)
}

// A few are confirmed by a button, many by typing how many; who did it is on
// the message's timeline.
func TestHeldPagesAskBack(t *testing.T) {
	b := newBox(t, 0)
	ids := b.holds(30, queue.ReasonCloned)
	p := b.looks(auth.RoleOperator)
	require.Contains(t, p.page("/"), "60 messages are held")
	require.Contains(t, p.page("/doctor"), "do not leave by themselves: 60.")
	require.Contains(t, p.page("/doctor"), `<a class="btn" href="/held">`)
	page := p.page("/held")
	require.Contains(t, page, "Release 60 messages")
	require.Contains(t, page, "30")
	ask := p.page("/held/confirm?action=release&reason=cloned")
	require.Contains(t, ask, "Release 60 messages?")
	require.Contains(t, ask, `name="count"`)
	require.NotContains(t, p.page("/held/confirm?action=release&reason=cloned&class=bulk"), `name="count"`)

	form := url.Values{"action": {"release"}, "reason": {"cloned"}, "count": {"6"}}
	require.Equal(t, http.StatusUnprocessableEntity, p.post("/held", form).StatusCode)
	form.Set("count", "60")
	require.Equal(t, http.StatusSeeOther, p.post("/held", form).StatusCode)
	m, err := b.s.store.Message(t.Context(), ids[0])
	require.NoError(t, err)
	require.Equal(t, queue.Queued, m.State)
	page = p.page("/messages/" + ids[0])
	require.Contains(t, page, "Released")
	require.Contains(t, page, p.name)

	b.holds(1, queue.ReasonRestored)
	require.Equal(t, http.StatusSeeOther, p.post("/messages/"+ids[0]+"/release", nil).StatusCode)
	require.Equal(t, http.StatusConflict, p.post("/messages/"+ids[0]+"/release", nil).StatusCode)
	who := b.looks(auth.RoleReader)
	require.NotContains(t, who.page("/held"), "/held/confirm")
	require.Equal(t, http.StatusForbidden, who.post("/held", form).StatusCode)
}

// told is a clock that takes somebody's word.
type told struct {
	*wall
	who string
	now time.Time
}

func (c *told) Status() clock.Status {
	if c.Trusted() {
		st := clock.Status{Trusted: true, Source: clock.SourceOperator, Offset: 90 * time.Second}
		if c.now.Year() == 2027 {
			st.Rests = c.now.Add(24 * time.Hour)
		}
		return st
	}
	return clock.Status{Reason: "the box has no battery"}
}

func (c *told) Against(now time.Time) *clock.Unlikely {
	if now.Year() != 2027 {
		return nil
	}
	return &clock.Unlikely{Given: now, Known: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), By: clock.KnownHighWater}
}

func (c *told) Trust(_ context.Context, who string, now time.Time, sure bool) error {
	if now.Year() == 1990 {
		return clock.ErrTime
	}
	if u := c.Against(now); u != nil && !sure {
		return u
	}
	c.who, c.now = who, now
	c.mu.Lock()
	defer c.mu.Unlock()
	c.doubts = false
	return nil
}

func (c *told) doubt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.doubts = true
}

func TestSomebodyVouchesForTheTime(t *testing.T) {
	var c *told
	b := newBox(t, 0, func(o *Options) {
		c = &told{wall: o.Clock.(*wall)}
		o.Care.Time = c
	})
	c.doubt()
	p := b.looks(auth.RoleOperator)
	require.Contains(t, p.page("/"), "Nobody vouches")
	var st Status
	b.ask("GET", v1+"/status", nil, &st)
	require.False(t, st.Clock.Trusted)
	require.Equal(t, "the box has no battery", *st.Clock.Reason)
	require.Equal(t, http.StatusSeeOther, p.post("/settings/clock", nil).StatusCode)
	require.Contains(t, c.who, p.name)
	require.True(t, c.now.IsZero())
	require.NotContains(t, p.page("/"), "Nobody vouches")
	b.ask("GET", v1+"/status", nil, &st)
	require.Equal(t, "operator", *st.Clock.Source)
	require.Equal(t, 90.0, st.Clock.Offset)
	require.Contains(t, p.page("/settings"), "Somebody of yours vouched for the time.")

	require.Equal(t, http.StatusUnprocessableEntity, p.post("/settings/clock", url.Values{"now": {"1990-01-01T00:00"}}).StatusCode)
	require.Equal(t, http.StatusUnprocessableEntity, p.post("/settings/clock", url.Values{"now": {"mañana"}}).StatusCode)
	b.problem(b.do("POST", v1+"/clock/trust", map[string]any{"now": "1990-01-01T00:00:00Z"}), 422, "invalid")
	var k Clock
	b.ask("POST", v1+"/clock/trust", map[string]any{"now": "2026-11-22T12:00:00Z"}, &k)
	require.True(t, k.Trusted)
	require.Equal(t, time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), c.now.UTC())

	// A time that is far from what is known is asked back, once.
	far := map[string]any{"now": "2027-11-22T12:00:00Z"}
	no := b.problem(b.do("POST", v1+"/clock/trust", far), 422, "clock_unlikely")
	require.Contains(t, no.Detail, `"sure": true`)
	require.Equal(t, []any{"body.sure", "2026-11-22T12:00:00Z", "high_water"}, []any{no.Errors[1].Location, no.Errors[1].Value, no.Errors[1].Code})
	b.ask("GET", v1+"/clock?now=2027-11-22T12:00:00Z", nil, &k)
	require.Equal(t, &ClockDoubt{time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), "high_water"}, k.Against)
	require.Equal(t, 2026, c.now.Year(), "nothing was done")
	form := url.Values{"now": {"2027-11-22T12:00"}}
	asked := p.post("/settings/clock", form)
	require.Equal(t, http.StatusOK, asked.StatusCode)
	for _, shown := range []string{"You say", "The last time known here", "2027", "2026", `name="sure" value="yes"`, `name="now" value="2027-11-22T12:00"`} {
		require.Contains(t, string(asked.body), shown)
	}
	require.Equal(t, 2026, c.now.Year(), "nothing was done")
	form.Set("sure", "yes")
	require.Equal(t, http.StatusSeeOther, p.post("/settings/clock", form).StatusCode)
	require.Equal(t, 2027, c.now.Year())
	require.Contains(t, p.page("/settings"), "nothing expires and nothing is deleted for its age")
	far["sure"] = true
	k = Clock{}
	b.ask("POST", v1+"/clock/trust", far, &k)
	require.Nil(t, k.Against)
	require.Equal(t, time.Date(2027, 11, 23, 12, 0, 0, 0, time.UTC), k.Rests.UTC())

	require.Equal(t, http.StatusSeeOther, p.post("/settings/misfire", url.Values{"grace": {"30"}, "policy": {"skip"}}).StatusCode)
	b.ask("GET", v1+"/clock", nil, &k)
	require.Equal(t, []any{1800, "skip"}, []any{k.MisfireGrace, k.MisfirePolicy})
	require.Equal(t, http.StatusUnprocessableEntity, p.post("/settings/misfire", url.Values{"grace": {"x"}, "policy": {"skip"}}).StatusCode)
	require.Equal(t, http.StatusForbidden, b.looks(auth.RoleReader).post("/settings/clock", nil).StatusCode)
}

func TestTheStoragesStateIsOnEveryPage(t *testing.T) {
	health := sqlite.Health{State: sqlite.HealthOK}
	b := newBox(t, 0, func(o *Options) { o.Care.Health = func() sqlite.Health { return health } })
	p := b.looks(auth.RoleReader)
	for state, words := range map[string]string{
		sqlite.HealthLow: "little room", sqlite.HealthFull: "disk is full", sqlite.HealthReadOnly: "Nothing can be written",
		sqlite.HealthChecking: "not shut down in order",
	} {
		health = sqlite.Health{State: state, Detail: "why"}
		require.Contains(t, p.page("/messages"), words)
		var st Status
		b.ask("GET", v1+"/status", nil, &st)
		require.Equal(t, []string{state, "why"}, []string{st.Storage.State, st.Storage.Detail})
	}
	health.State = sqlite.HealthOK
	require.NotContains(t, p.page("/messages"), "little room")
}

// rescued is a folder with an alarm.
type rescued struct{ alarm *backup.Alarm }

func (r *rescued) Alarm() (*backup.Alarm, error) { return r.alarm, nil }
func (r *rescued) Acknowledge() error            { r.alarm = nil; return nil }

func TestARescueIsShownUntilItIsRead(t *testing.T) {
	r := &rescued{&backup.Alarm{What: backup.DamageRestored, At: time.Now(), CopiedAt: time.Now()}}
	b := newBox(t, 0, func(o *Options) { o.Care.Rescue = r })
	require.NotContains(t, b.looks(auth.RoleOperator).page("/"), "I have read this")
	admin := b.looks(auth.RoleAdmin)
	require.Contains(t, admin.page("/"), "put back from a backup")
	require.Equal(t, http.StatusSeeOther, admin.post("/settings/rescued", nil).StatusCode)
	require.NotContains(t, admin.page("/"), "put back from a backup")
	r.alarm = &backup.Alarm{What: backup.DamageSalvaged, At: time.Now(), Messages: 700, Inbound: 29, LostMessages: 31, AddedMessages: 30}
	require.Contains(t, admin.page("/"), "729 messages could be read, and 30 more came from a backup; missing, as far as is known: 1")
	r.alarm.AddedMessages, r.alarm.LostMessages = 0, 0
	require.Contains(t, admin.page("/"), "729 messages could be read; none is known to be missing")
}

// copies is a keeper of backups.
type copies struct {
	made  int
	short bool
}

func (k *copies) Status() backup.Status { return backup.Status{LastAt: time.Now(), Folder: "/mnt/usb"} }
func (k *copies) Make(context.Context) error {
	if k.short {
		return backup.ErrPaused
	}
	k.made++
	return nil
}

type closing struct {
	io.Reader
	closed *bool
}

func (c closing) Close() error { *c.closed = true; return nil }

func TestBackupsFromThePages(t *testing.T) {
	k := &copies{}
	closed, broken := false, false
	b := newBox(t, 0, func(o *Options) {
		o.Care.Backups = k
		o.Care.Copies = func() ([]backup.Copy, error) {
			return []backup.Copy{{Path: "/data/backups/1", At: time.Now(), Size: 1}, {Path: "/data/backups/2", At: time.Now(), Size: 2048}}, nil
		}
		o.Care.Archive = func(context.Context, backup.Secret) (Archive, error) {
			if broken {
				return Archive{}, errors.New("the disk broke")
			}
			return Archive{closing{strings.NewReader("archive"), &closed}, 7}, nil
		}
	})
	var list Backups
	b.ask("GET", v1+"/backups", nil, &list)
	require.Equal(t, []string{"2", "1"}, []string{list.Items[0].Name, list.Items[1].Name})
	b.ask("POST", v1+"/backups", nil, &list)
	require.Equal(t, 1, k.made)
	admin := b.looks(auth.RoleAdmin)
	require.Equal(t, http.StatusSeeOther, admin.post("/settings/backups", nil).StatusCode)
	require.Equal(t, 2, k.made)
	k.short = true
	b.problem(b.do("POST", v1+"/backups", nil), 507, "storage_full")
	require.Equal(t, http.StatusUnprocessableEntity, admin.post("/settings/backups", nil).StatusCode)

	good := url.Values{"passphrase": {"una frase muy larga"}, "again": {"una frase muy larga"}}
	require.Equal(t, http.StatusForbidden, b.looks(auth.RoleOperator).post("/settings/backups/archive", good).StatusCode)
	require.Equal(t, http.StatusUnprocessableEntity, admin.post("/settings/backups/archive", url.Values{"passphrase": {"una frase muy larga"}, "again": {"otra"}}).StatusCode)
	require.Equal(t, http.StatusUnprocessableEntity, admin.post("/settings/backups/archive", url.Values{"passphrase": {"corta"}, "again": {"corta"}}).StatusCode)
	r := admin.post("/settings/backups/archive", good)
	require.Equal(t, http.StatusOK, r.StatusCode)
	require.Equal(t, "archive", string(r.body))
	require.Equal(t, "7", r.Header.Get("Content-Length"))
	require.Contains(t, r.Header.Get("Content-Disposition"), ".backup")
	require.True(t, closed)
	broken = true
	require.Equal(t, http.StatusInternalServerError, admin.post("/settings/backups/archive", good).StatusCode)
	require.NotContains(t, b.logs.String(), "una frase")
}

func TestRetentionAndErasure(t *testing.T) {
	var erased []string
	b := newBox(t, 0, func(o *Options) {
		o.Care.Erase = func(_ context.Context, number, who string) (Erased, error) {
			erased = append(erased, number+" "+who)
			return Erased{Messages: 3, Inbound: 2}, nil
		}
	})
	var r Retention
	b.ask("GET", v1+"/retention", nil, &r)
	require.Equal(t, int64(900), r.OTP.Body)
	b.problem(b.do("PATCH", v1+"/retention", map[string]any{"otp": map[string]any{"body_seconds": 901}}), 422, "invalid")
	res := b.do("PATCH", v1+"/retention", map[string]any{"bulk": map[string]any{"body_seconds": 86400}})
	require.Equal(t, 200, res.StatusCode)
	b.ask("GET", v1+"/retention", nil, &r)
	require.Equal(t, Keep{86400, 365 * 86400}, r.Bulk)

	admin := b.looks(auth.RoleAdmin)
	form := url.Values{}
	for _, name := range []string{"otp", "alert", "normal", "bulk", "inbound"} {
		form.Set(name+"_body", "10")
		form.Set(name+"_metadata", "100")
	}
	require.Equal(t, http.StatusSeeOther, admin.post("/settings/retention", form).StatusCode)
	b.ask("GET", v1+"/retention", nil, &r)
	require.Equal(t, Keep{600, 100 * 86400}, r.OTP)
	require.Equal(t, Keep{864000, 100 * 86400}, r.Inbound)
	form.Set("otp_body", "16")
	require.Equal(t, http.StatusUnprocessableEntity, admin.post("/settings/retention", form).StatusCode)
	form.Set("otp_body", "muchos")
	require.Equal(t, http.StatusUnprocessableEntity, admin.post("/settings/retention", form).StatusCode)

	first := admin.post("/settings/erase", url.Values{"number": {"600 111 222"}})
	require.Equal(t, http.StatusOK, first.StatusCode)
	require.Empty(t, erased, "it is asked back first")
	require.Equal(t, http.StatusUnprocessableEntity, admin.post("/settings/erase", url.Values{"number": {"600 111 222"}, "again": {"600 111 223"}}).StatusCode)
	require.Empty(t, erased)
	last := admin.post("/settings/erase", url.Values{"number": {"600 111 222"}, "again": {"600 111 222"}})
	require.Equal(t, http.StatusOK, last.StatusCode)
	require.Contains(t, string(last.body), "3 sent, 2 received")
	require.Len(t, erased, 1)
	require.True(t, strings.HasPrefix(erased[0], "+34600111222 "), erased[0])
	var e Erased
	b.ask("POST", v1+"/erase", map[string]any{"number": "+34600111222"}, &e)
	require.Equal(t, Erased{Messages: 3, Inbound: 2, Scrubbed: true}, e)
	require.Equal(t, http.StatusForbidden, b.looks(auth.RoleOperator).post("/settings/erase", url.Values{"number": {"1"}}).StatusCode)
}
