package webui

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"testing"

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
