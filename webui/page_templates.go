package webui

import (
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
)

// keptPages is how many pages' templates stay in memory: parsed and escaped, each is
// some hundred kilobytes, and a small box shows few of them at a time.
const keptPages = 8

// pageTemplates are the pages' templates by language, parsed when they are asked for:
// those of the embedded files, which a test has parsed.
type pageTemplates struct {
	funcs  map[string]template.FuncMap // by language
	shared []string                    // files that every page has

	mu    sync.Mutex
	bases map[string]*template.Template // of shared, by language; never executed, or they could not be cloned
	kept  []keptPage                    // used last at the end
}

type keptPage struct {
	lang, name string
	t          *template.Template
}

// errNoPage: there is no file of that name, or no such language.
var errNoPage = errors.New("no such page")

func newPageTemplates(funcs map[string]template.FuncMap) (*pageTemplates, error) {
	shared, err := fs.Glob(templateFiles, "templates/_*.html")
	if err != nil {
		return nil, err
	}
	return &pageTemplates{funcs: funcs, shared: shared, bases: map[string]*template.Template{}}, nil
}

// names of all pages.
func (p *pageTemplates) names() (all []string) {
	files, _ := fs.Glob(templateFiles, "templates/*.html") // the pattern is right
	for _, f := range files {
		if name := strings.TrimSuffix(path.Base(f), ".html"); !strings.HasPrefix(name, "_") {
			all = append(all, name)
		}
	}
	return all
}

// page gives a page's template, which may be executed by many at a time.
func (p *pageTemplates) page(lang, name string) (*template.Template, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.IndexFunc(p.kept, func(k keptPage) bool { return k.lang == lang && k.name == name }); i >= 0 {
		k := p.kept[i]
		p.kept = append(slices.Delete(p.kept, i, i+1), k)
		return k.t, nil
	}
	if _, err := fs.Stat(templateFiles, "templates/"+name+".html"); err != nil || p.funcs[lang] == nil || strings.HasPrefix(name, "_") {
		return nil, fmt.Errorf("template %q in %q: %w", name, lang, errNoPage)
	}
	base, ok := p.bases[lang]
	if !ok {
		var err error
		if base, err = template.New("base").Funcs(p.funcs[lang]).ParseFS(templateFiles, p.shared...); err != nil {
			return nil, fmt.Errorf("parse shared templates: %w", err)
		}
		p.bases[lang] = base
	}
	t, err := base.Clone()
	if err == nil {
		t, err = t.ParseFS(templateFiles, "templates/"+name+".html")
	}
	if err != nil {
		return nil, fmt.Errorf("parse page %s: %w", name, err)
	}
	if len(p.kept) >= keptPages {
		p.kept = slices.Delete(p.kept, 0, 1)
	}
	p.kept = append(p.kept, keptPage{lang, name, t})
	return t, nil
}
