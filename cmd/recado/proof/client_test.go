package proof

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// request is one message that a client wants sent, with all that it was told.
type request struct {
	Key, To, Text, Class string
	Answers              []answer
}

// answer is one try. Status 0: the answer was lost.
type answer struct {
	Status  int
	ID      string
	Changed bool // the body was another one
}

// history is what all clients of a box asked for and were told.
type history struct {
	mu       sync.Mutex
	requests []*request
}

func newHistory() *history { return &history{} }

func (h *history) begin(class string, long bool, answered bool) *request {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(h.requests)
	r := &request{Key: fmt.Sprintf("key-%d", n), Class: class}
	// The last seven digits are the serial number: what the emulated network does
	// with a recipient goes by them, and 9999xxx is out of reach.
	r.To = fmt.Sprintf("+3461%07d", n)
	if answered {
		r.To, long = fmt.Sprintf("+346%d9999201", n%10), false
	}
	r.Text = fmt.Sprintf("Prueba %d.", n)
	if long {
		r.Text = strings.Repeat(fmt.Sprintf("Prueba larga %d, con más de una parte. ", n), 7)
	}
	h.requests = append(h.requests, r)
	return r
}

func (h *history) note(r *request, a answer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r.Answers = append(r.Answers, a)
}

// all is a copy.
func (h *history) all() (list []request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.requests {
		c := *r
		c.Answers = append([]answer(nil), r.Answers...)
		list = append(list, c)
	}
	return list
}

func (r request) acknowledged() (id string) {
	for _, a := range r.Answers {
		if a.Status == http.StatusAccepted {
			return a.ID
		}
	}
	return ""
}

// load is clients that ask for messages, from its start to its end.
type load struct {
	b       *box
	classes []string
	long    float64 // share of long messages
	replied float64 // share to recipients who answer
	most    int     // messages, in all; 0: as many as there is time for
	pause   time.Duration
	begun   atomic.Int64
	wg      sync.WaitGroup
	stop    context.CancelFunc
}

func (l *load) start(clients int) {
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	for c := range clients {
		l.wg.Go(func() {
			web := &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{}}
			defer web.CloseIdleConnections()
			for i := c; ctx.Err() == nil; i++ {
				if n := l.begun.Add(1); l.most > 0 && n > int64(l.most) {
					return
				}
				r := l.b.history.begin(l.classes[i%len(l.classes)], rand.Float64() < l.long, rand.Float64() < l.replied)
				l.ask(ctx, web, r)
				l.rest(ctx, l.pause)
			}
		})
	}
}

// end waits for the clients.
func (l *load) end() {
	l.stop()
	l.wg.Wait()
}

func (l *load) rest(ctx context.Context, d time.Duration) {
	if d == 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// ask posts a message, and three in ten times at once twice or thrice. When the
// answer was lost it is asked for again, as the API tells its clients to, mostly.
func (l *load) ask(ctx context.Context, web *http.Client, r *request) {
	times := 1
	if rand.Float64() < 0.3 {
		times += 1 + rand.IntN(2)
	}
	for ctx.Err() == nil {
		var wg sync.WaitGroup
		told := make([]bool, times)
		for i := range times {
			wg.Go(func() { told[i] = l.b.post(web, r, r.Text) })
		}
		wg.Wait()
		for _, ok := range told {
			if ok {
				if rand.Float64() < 0.1 {
					l.b.post(web, r, r.Text)
				}
				if rand.Float64() < 0.05 {
					l.b.post(web, r, r.Text+" y más")
				}
				return
			}
		}
		if rand.Float64() < 0.1 {
			return // this client gives up: the message may be there or not
		}
		times = 1
		l.rest(ctx, 20*time.Millisecond)
	}
}

// post tries once; false when the answer was lost, or is to be asked for again.
func (b *box) post(web *http.Client, r *request, text string) (told bool) {
	changed := text != r.Text
	body, err := json.Marshal(map[string]any{"to": r.To, "text": text, "class": r.Class, "max_segments": 8})
	if err != nil {
		panic(err) // strings
	}
	ask, err := http.NewRequest("POST", "http://"+b.listen+"/api/v1/messages", bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	ask.Header.Set("Authorization", "Bearer "+b.key)
	ask.Header.Set("Content-Type", "application/json")
	ask.Header.Set("Idempotency-Key", r.Key)
	got, err := web.Do(ask)
	if err != nil {
		b.history.note(r, answer{Changed: changed})
		return false
	}
	defer got.Body.Close()
	var said struct {
		Messages []struct{ ID string }
	}
	err = json.NewDecoder(got.Body).Decode(&said)
	a := answer{Status: got.StatusCode, Changed: changed}
	if got.StatusCode == http.StatusAccepted {
		if err != nil || len(said.Messages) != 1 {
			// Only the head of the answer came: it counts as told, but not which.
			a.Status = 0
		} else {
			a.ID = said.Messages[0].ID
		}
	}
	b.history.note(r, a)
	return a.Status != 0 && a.Status != http.StatusConflict && !a.later()
}

// later: for now nothing can be accepted.
func (a answer) later() bool {
	return a.Status == http.StatusServiceUnavailable || a.Status == http.StatusInsufficientStorage
}

// get reads JSON from the API.
func (b *box) get(path string, out any) error {
	ask, err := http.NewRequest("GET", "http://"+b.listen+path, nil)
	if err != nil {
		return err
	}
	ask.Header.Set("Authorization", "Bearer "+b.key)
	got, err := http.DefaultClient.Do(ask)
	if err != nil {
		return err
	}
	defer got.Body.Close()
	if got.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, got.Status)
	}
	return json.NewDecoder(got.Body).Decode(out)
}
