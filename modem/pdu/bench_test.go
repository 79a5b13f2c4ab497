package pdu

import (
	"strings"
	"testing"
)

var benchTexts = map[string]string{
	"short": "Su cita es el lunes 23 a las 9:30. Responda SI para confirmar.",
	"long":  strings.Repeat("Mañana a las 9 en punto, 10€. ", 15),
	"ucs2":  strings.Repeat("Según el pliego, ¿cuándo empieza la próxima sesión? ", 6),
}

func BenchmarkEncode(b *testing.B) {
	for name, text := range benchTexts {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Encode(home, text, Options{Report: true, Validity: day, Ref: 7}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCount(b *testing.B) {
	for name, text := range benchTexts {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Count(text, Options{})
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	segments, err := Encode(home, benchTexts["long"], Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		DecodeSubmit(segments[0].TPDU)
	}
}
