package console

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
)

// box is an appliance for tests: answers by "METHOD path", and what was asked.
type box struct {
	t       *testing.T
	answers map[string]any // an error is given back as such, a func is asked each time
	alone   bool
	log     io.ReadCloser

	mu    sync.Mutex
	asked []string // METHOD path body
}

func (b *box) Do(_ context.Context, method, path string, in, out any) error {
	body := ""
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = " " + string(text)
	}
	b.mu.Lock()
	b.asked = append(b.asked, method+" "+path+body)
	b.mu.Unlock()
	answer, ok := b.answers[method+" "+path]
	if !ok {
		return fmt.Errorf("not_found: %s %s", method, path)
	}
	if err, is := answer.(error); is {
		return err
	}
	if out == nil {
		return nil
	}
	if next, is := answer.(func() string); is {
		answer = next()
	}
	return json.Unmarshal([]byte(answer.(string)), out)
}

func (b *box) Stream(ctx context.Context, path string) (io.ReadCloser, error) {
	context.AfterFunc(ctx, func() { b.log.Close() })
	return b.log, nil
}

func (b *box) Alone() bool { return b.alone }

// wasAsked are the requests that change something.
func (b *box) wasAsked() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var changes []string
	for _, a := range b.asked {
		if !strings.HasPrefix(a, "GET ") {
			changes = append(changes, a)
		}
	}
	return changes
}

// twoModems is a box with two modems, a SIM in each.
func twoModems(t *testing.T) *box {
	return &box{t: t, answers: map[string]any{
		"GET /control/info": `{"version":"1.2.3","host":"caja","addresses":["http://192.168.1.9:8080/"],"pid":7,
			"started":"2026-11-01T10:00:00Z","setup_code":"ABCD-EFGH","clock_trusted":true}`,
		"GET /control/users": `[{"name":"ana","role":"reader"},{"name":"jefa","role":"admin"}]`,
		"GET /api/v1/status": `{"version":"1.2.3","queue":{"queued":{"normal":3,"bulk":4},"held":{"normal":6}},
			"sent":{"last_minute":1,"last_hour":20,"last_day":300},"clock":{"trusted":true,"source":"ntp"},"lines_ready":6,"uncertain":5,"sending":{"paused":false,"sims":["8934"],"classes":["bulk"]},"storage":{"free_bytes":2097152,"state":"low","detail":"make room"}}`,
		"GET /api/v1/modems": `{"items":[
			{"id":"860000000000017","port":"/dev/ttyUSB2","model":"EC25","state":"ready","sim":"893400000000000001"},
			{"id":"/dev/ttyUSB9","port":"/dev/ttyUSB9","state":"locked","reason":"held by smsd (PID 12): stop it"}],"next":null}`,
		"GET /api/v1/sims?limit=500": `{"items":[{"iccid":"893400000000000001","name":"Cita","number":"+34600000001",
			"operator":"Movistar","state":"ready","modem":"860000000000017","signal":{"rssi_dbm":-71},"sent_total":42},
			{"iccid":"893400000000000002","name":"Otra","state":"unavailable","signal":{"rssi_dbm":null}}],"next":null}`,
		"GET /api/v1/sims?limit=2": `{"items":[{"iccid":"1"},{"iccid":"2"}],"next":null}`,
		"GET /api/v1/sims/893400000000000001": `{"iccid":"893400000000000001","name":"Cita","state":"ready",
			"signal":{"rssi_dbm":-71},"smsc":"+34600000000","reserve_percent":20,"reset_day":15,"warm_limit":50,"limits":[
			{"window":"minute","used_segments":1},{"window":"hour","used_segments":7,"max_segments":null},
			{"window":"day","used_segments":12,"max_segments":500,"used_recipients":2},{"window":"month","used_recipients":3,"max_recipients":300}]}`,
		"POST /api/v1/sims/893400000000000001/balance": `{"answer":"Su saldo es 12,34 EUR","balance_minor":1234,"currency":"EUR","error":null}`,
		"POST /api/v1/sims/893400000000000001/canary":  `{"items":[{"id":5}]}`,
		"GET /api/v1/canaries?limit=20": `{"items":[{"id":5,"from":"893400000000000001","to":"893400000000000002","says":"it arrived","state":"arrived","ended_at":"2026-11-01T10:00:00Z"},
			{"id":4,"from":"1","to":"2","says":"of before","state":"missed","ended_at":null}],"next":null}`,
		"GET /api/v1/messages?limit=10": `{"items":[{"id":"0193","to":"+34600111222","text":"SECRETO","class":"normal",
			"state":"sent","created_at":"2026-11-01T10:00:00Z"}],"next":null}`,
		"GET /control/modems/860000000000017/trace": `[{"at":"2026-11-01T10:00:00Z","out":true,"line":"AT+CSQ"},
			{"at":"2026-11-01T10:00:00Z","out":false,"line":"+CSQ: 21,99"}]`,
		"GET /api/v1/modems/860000000000017/history?limit=20": `{"items":[{"at":"2026-11-01T10:01:00Z","kind":"state","step":null,"text":"ready"},
			{"at":"2026-11-01T10:00:00Z","kind":"step","step":"L3","text":"module restart: the modem is mute"}],"next":null}`,
		"POST /api/v1/modems/860000000000017/restart": `{}`,
		"POST /api/v1/modems/860000000000017/power":   `{}`,
		"POST /api/v1/modems/860000000000017/puk":     `{}`,
		"DELETE /api/v1/sims/893400000000000001/pin":  ``,
		"PATCH /api/v1/sims/893400000000000001":       `{}`,
		"POST /control/modems/860000000000017/pin":    `{}`,
		"POST /control/users/jefa/password":           `{}`,
		"POST /api/v1/messages":                       `{"messages":[{"id":"0193","state":"queued"}],"rejected":[]}`,
		"GET /api/v1/held": `{"total":6,"items":[{"reason":"restored","class":"otp","count":2,"oldest":"2026-11-01T10:00:00Z"},
			{"reason":"late","class":"bulk","count":4,"oldest":"2026-11-02T10:00:00Z"}]}`,
		"GET /api/v1/clock": `{"now":"2026-11-22T12:00:00Z","trusted":false,"source":null,"since":null,"reason":"nobody vouches for the time",
			"offset_seconds":0,"misfire_grace":900,"misfire_policy":"hold"}`,
		"GET /api/v1/clock?now=2026-11-22T12%3A00%3A00Z": `{"now":"2026-11-22T12:00:00Z","against":null}`,
		"GET /api/v1/clock?now=2027-11-22T12%3A00%3A00Z": `{"now":"2026-11-22T12:00:00Z","against":{"time":"2026-11-22T12:00:00Z","by":"high_water"}}`,
		"GET /api/v1/backups": `{"last_at":"2026-11-22T11:00:00Z","next_at":null,"paused":true,"error":"no room","folder":null,
			"items":[{"name":"20261122-110000.age","at":"2026-11-22T11:00:00Z","size_bytes":2049}]}`,
		"GET /api/v1/messages?state=uncertain&limit=50": `{"items":[{"id":"0194","to":"+34600111222","text":"SECRETO","class":"otp",
			"state":"uncertain","reason":"no_answer","created_at":"2026-11-01T10:00:00Z"}],"next":"x"}`,
		"POST /api/v1/held/release":          `{"done":2,"left":4}`,
		"POST /api/v1/held/discard":          `{"done":6,"left":0}`,
		"POST /api/v1/messages/0194/resolve": `{"id":"0194","state":"sent"}`,
		"POST /api/v1/clock/trust":           `{"now":"2026-11-22T12:00:00Z","trusted":true,"source":"operator","misfire_grace":900,"misfire_policy":"hold"}`,
		"POST /api/v1/backups":               `{}`,
		"POST /api/v1/sending/pause":         `{}`,
		"POST /api/v1/sending/resume":        `{}`,
	}}
}
