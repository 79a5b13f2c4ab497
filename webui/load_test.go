package webui

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const oneMessage = `{"to":"+34600111222","text":"Su cita es mañana a las 9:30. Responda NO para anularla.","class":"otp","reference":"r"}`

// BenchmarkSubmit measures a whole POST /messages over loopback from 64 clients,
// each waiting for its answer, which is on disk: messages a second, and the
// 99th percentile of the time to answer.
func BenchmarkSubmit(b *testing.B) {
	box := newBox(b, 0)
	const clients = 64
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients, DisableCompression: true}}
	defer client.CloseIdleConnections()
	post := func() (int, error) {
		req, err := http.NewRequestWithContext(context.Background(), "POST", box.http.URL+v1+"/messages", strings.NewReader(oneMessage))
		if err != nil {
			return 0, err
		}
		req.Header.Set("Authorization", "Bearer "+box.admin)
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode, err
	}
	todo := make(chan struct{}, clients)
	took := make([][]time.Duration, clients)
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			for range todo {
				start := time.Now()
				code, err := post()
				took[i] = append(took[i], time.Since(start))
				if err != nil || code != 202 {
					b.Errorf("%d %v", code, err)
				}
			}
		})
	}
	for range b.N {
		todo <- struct{}{}
	}
	close(todo)
	wg.Wait()
	b.StopTimer()
	all := slices.Concat(took...)
	slices.Sort(all)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
}

// BenchmarkHandle is the same without network, clients and waiting for each
// other: the processor's time of a request, database included.
func BenchmarkHandle(b *testing.B) {
	box := newBox(b, 0)
	for name, path := range map[string]string{"submit": "/messages", "quote": "/messages/quote"} {
		b.Run(name, func(b *testing.B) {
			b.SetParallelism(32)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					r := httptest.NewRequest("POST", "http://localhost"+v1+path, bytes.NewReader([]byte(oneMessage)))
					r.Header.Set("Authorization", "Bearer "+box.admin)
					w := httptest.NewRecorder()
					box.s.Handler().ServeHTTP(w, r)
					if w.Code != 202 && w.Code != 200 {
						b.Errorf("%d %s", w.Code, w.Body)
					}
				}
			})
		})
	}
}

// TestManyClientsAtOnce: sixty-four clients from one address are served, and
// each answer's message is there.
func TestManyClientsAtOnce(t *testing.T) {
	b := newBox(t, 0)
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range 5 {
				a := b.do("POST", v1+"/messages", oneMessage)
				require.Equal(t, 202, a.StatusCode, "%s", a.body)
			}
		})
	}
	wg.Wait()
	list := b.do("GET", v1+"/messages?limit=500", nil).json(t)
	require.Len(t, list["items"], 320)
}
