package webui

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/queue"
	"recado/queue/backup"
	"recado/queue/sqlite"
	"recado/webui/auth"
)

// TestErrorsOfCare: whoever looks after the data is told why not, and not that
// something went wrong here.
func TestErrorsOfCare(t *testing.T) {
	s := &Server{log: slog.New(slog.DiscardHandler)}
	for err, status := range map[error]int{queue.ErrSubmitting: 409, sqlite.ErrCopyBehind: 503, backup.ErrRoom: 507} {
		p := s.problem(context.Background(), fmt.Errorf("look after the data: %w", err))
		require.Equal(t, status, p.Status, err)
		require.Equal(t, err.Error(), p.Detail)
	}
}

// TestErasedButNotScrubbed: everything is deleted, so it is no failure.
func TestErasedButNotScrubbed(t *testing.T) {
	b := newBox(t, 0, func(o *Options) {
		o.Care.Erase = func(context.Context, string, string) (Erased, error) {
			return Erased{Messages: 3}, fmt.Errorf("erase a number: %w", sqlite.ErrScrub)
		}
	})
	var e Erased
	b.ask("POST", v1+"/erase", map[string]any{"number": "+34600111222"}, &e)
	require.Equal(t, Erased{Messages: 3}, e)
	page := b.looks(auth.RoleAdmin).post("/settings/erase", url.Values{"number": {"600111222"}, "again": {"600111222"}})
	require.Equal(t, http.StatusOK, page.StatusCode)
	require.Contains(t, string(page.body), "traces may be left")
}

// TestSavingTheRetentionPageKeepsWhatNobodyEdited: a period of hours, set by the
// API, is neither rounded nor made 0 by saving the page.
func TestSavingTheRetentionPageKeepsWhatNobodyEdited(t *testing.T) {
	b := newBox(t, 0)
	res := b.do("PATCH", v1+"/retention", map[string]any{
		"bulk": map[string]any{"body_seconds": 5 * 3600}, "otp": map[string]any{"body_seconds": 90},
		"normal": map[string]any{"metadata_seconds": 40*86400 + 1}})
	require.Equal(t, 200, res.StatusCode)
	admin := b.looks(auth.RoleAdmin)
	page := admin.page("/settings")
	require.Contains(t, page, `name="bulk_body_was" value="5"`)
	require.Contains(t, page, `name="bulk_body_unit" value="hours"`)
	require.Contains(t, page, `name="otp_body_was" value="1.5"`)
	form := url.Values{}
	for name, value := range map[string]string{"otp_body": "1.5", "bulk_body": "5", "normal_metadata": "960.0002777777778"} {
		form.Set(name, value)
		form.Set(name+"_was", value)
	}
	form.Set("bulk_body_unit", "hours")
	form.Set("normal_metadata_unit", "hours")
	for _, name := range []string{"otp_metadata", "alert_metadata", "bulk_metadata", "inbound_metadata"} {
		form.Set(name, "365")
	}
	for _, name := range []string{"alert_body", "normal_body", "inbound_body"} {
		form.Set(name, "30")
	}
	form.Set("inbound_body", "20")
	require.Equal(t, http.StatusSeeOther, admin.post("/settings/retention", form).StatusCode)
	var r Retention
	b.ask("GET", v1+"/retention", nil, &r)
	require.Equal(t, []int64{90, 5 * 3600, 40*86400 + 1, 20 * 86400}, []int64{r.OTP.Body, r.Bulk.Body, r.Normal.Metadata, r.Inbound.Body})
	form.Set("bulk_body", "7") // hours
	require.Equal(t, http.StatusSeeOther, admin.post("/settings/retention", form).StatusCode)
	b.ask("GET", v1+"/retention", nil, &r)
	require.Equal(t, int64(7*3600), r.Bulk.Body)
	form.Set("bulk_body", "NaN")
	require.Equal(t, http.StatusUnprocessableEntity, admin.post("/settings/retention", form).StatusCode)
}

// TestRetentionSaysWhatMayBeEntered: which field, and from what to what.
func TestRetentionSaysWhatMayBeEntered(t *testing.T) {
	b := newBox(t, 0)
	admin := b.looks(auth.RoleAdmin)
	for _, c := range []struct {
		field, value string
		says         string
	}{
		{"normal_body", "99999", "Normal: the text is kept for 0 to 3660 days (ten years)."},
		{"normal_body", "1e400", "Normal: the text is kept for 0 to 3660 days (ten years)."},
		{"normal_body", "-1", "Normal: the text is kept for 0 to 3660 days (ten years)."},
		{"normal_body", "muchos", "Normal: the text is kept for 0 to 3660 days (ten years)."},
		{"normal_body", "", "Normal: the text is kept for 0 to 3660 days (ten years)."},
		{"otp_body", "16", "the text is kept for 0 to 15 minutes."},
		{"bulk_metadata", "99999", "the rest is kept for 7 to 3660 days (ten years)."},
		{"bulk_metadata", "6", "the rest is kept for 7 to 3660 days (ten years)."},
		{"inbound_body", "366", "the text cannot be kept longer than the rest."},
	} {
		form := url.Values{}
		for _, name := range []string{"otp", "alert", "normal", "bulk", "inbound"} {
			form.Set(name+"_body", "10")
			form.Set(name+"_metadata", "365")
		}
		form.Set(c.field, c.value)
		page := admin.post("/settings/retention", form)
		require.Equal(t, http.StatusUnprocessableEntity, page.StatusCode, c)
		require.Contains(t, text(page), c.says, c)
		require.Equal(t, 1, strings.Count(text(page), " is kept for ")+strings.Count(text(page), "cannot be kept"), "%v: only what is wrong is said", c)
		require.Contains(t, string(page.body), `value="`+c.value+`"`, "what was typed is kept")
	}
	var r Retention
	b.ask("GET", v1+"/retention", nil, &r)
	require.Equal(t, retentionOf(queue.DefaultRetention()), r, "nothing was changed")
	form := url.Values{}
	for _, name := range []string{"otp", "alert", "normal", "bulk", "inbound"} {
		form.Set(name+"_body", "1,5") // as a Spanish keyboard writes it
		form.Set(name+"_metadata", "3660")
	}
	require.Equal(t, http.StatusSeeOther, admin.post("/settings/retention", form).StatusCode)
	b.ask("GET", v1+"/retention", nil, &r)
	require.Equal(t, Keep{129600, 3660 * 86400}, r.Alert)

	for _, c := range []struct {
		class, part string
		seconds     int64
		says        string
	}{
		{"normal", "body_seconds", 99999 * 86400, "is from 0 to 316224000 (3660 days)"},
		{"normal", "body_seconds", -1, "is from 0 to 316224000 (3660 days)"},
		{"otp", "body_seconds", 901, "is from 0 to 15 minutes"},
		{"otp", "body_seconds", 99999 * 86400, "is from 0 to 900 (15 minutes)"},
		{"bulk", "metadata_seconds", 86400, "is from 604800 (7 days) to 316224000 (3660 days)"},
		{"bulk", "metadata_seconds", 99999 * 86400, "is from 604800 (7 days) to 316224000 (3660 days)"},
	} {
		p := b.problem(b.do("PATCH", v1+"/retention", map[string]any{c.class: map[string]any{c.part: c.seconds}}), 422, "invalid")
		require.Equal(t, "body."+c.class+"."+c.part, p.Errors[0].Location)
		require.Equal(t, c.says, p.Errors[0].Message)
	}
}

// TestTheDashboardCountsWhatIsHeldByItself, and leads to it.
func TestTheDashboardCountsWhatIsHeldByItself(t *testing.T) {
	b := newBox(t, 0)
	admin := b.looks(auth.RoleAdmin)
	for i := range 3 {
		require.Equal(t, 202, b.do("POST", v1+"/messages", map[string]any{"to": "60011122" + string(rune('0'+i)), "text": "a"}).StatusCode)
	}
	require.NotContains(t, admin.page("/"), "held:")
	_, err := b.s.store.HoldAll(t.Context(), queue.ReasonLate)
	require.NoError(t, err)
	later := b.clock.Now().Add(time.Hour)
	require.Equal(t, 202, b.do("POST", v1+"/messages", map[string]any{"to": "600111229", "text": "a", "send_at": later}).StatusCode)
	page := admin.page("/")
	require.Contains(t, page, `<td class="n">0</td><td class="n">0</td><td class="n">1</td></tr>`, "later is what is scheduled")
	require.Contains(t, page, `<a href="/held">3 held: wait for a decision</a>`)
}
