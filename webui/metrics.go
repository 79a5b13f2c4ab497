package webui

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"recado/queue"
)

// metrics are this package's own figures.
type metrics struct {
	requests *prometheus.HistogramVec // by method, route, status
	refused  prometheus.Counter
	panics   prometheus.Counter
	streams  prometheus.Gauge
	messages *prometheus.CounterVec // by class
	show     http.Handler
}

func newMetrics(r *prometheus.Registry) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "recado_http_request_duration_seconds", Help: "Time to answer a request.",
			Buckets: []float64{.001, .005, .01, .025, .05, .1, .25, 1, 5},
		}, []string{"method", "route", "status"}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "recado_http_auth_refused_total", Help: "Requests with wrong credentials."}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "recado_http_panics_total", Help: "Handlers that panicked."}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "recado_http_streams", Help: "Live event streams open now."}),
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "recado_http_messages_total", Help: "Messages accepted from the API and the pages."}, []string{"class"}),
		show: promhttp.HandlerFor(r, promhttp.HandlerOpts{Registry: r, MaxRequestsInFlight: 4, Timeout: 10 * time.Second}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.refused, m.panics, m.streams, m.messages} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("webui: register metrics: %w", err)
		}
	}
	return m, nil
}

// observe counts an answered request. Streams would only say how long a page
// was open.
func (m *metrics) observe(c echo.Context, took time.Duration) {
	if c.Response().Header().Get(echo.HeaderContentType) == "text/event-stream; charset=utf-8" {
		return
	}
	m.requests.WithLabelValues(method(c.Request().Method), c.Path(), strconv.Itoa(c.Response().Status)).Observe(took.Seconds())
}

// accepted counts messages that are on disk.
func (m *metrics) accepted(class queue.Class, n int) {
	m.messages.WithLabelValues(string(class)).Add(float64(n))
}

// method keeps a client from inventing labels.
func method(m string) string {
	switch m {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		return m
	}
	return "other"
}

func (s *Server) showMetrics(c echo.Context) error {
	s.metrics.show.ServeHTTP(c.Response(), c.Request())
	return nil
}
