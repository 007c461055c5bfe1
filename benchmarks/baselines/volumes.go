// A minimal Docker volume plugin on net/http, of the kind that go-plugins-helpers makes: a map
// in memory behind a RWMutex.
//
// With -state it is durable in the obvious way: each change writes the whole map as JSON to a
// new file, syncs it, renames it over the old one and syncs the directory, with the lock held.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

const contentType = "application/vnd.docker.plugins.v1.2+json"

type volume struct {
	Name       string
	Mountpoint string
	CreatedAt  string
}

type request struct {
	Name string
	ID   string
	Opts map[string]string
}

type answer struct {
	Implements   []string          `json:",omitempty"`
	Volume       *volume           `json:",omitempty"`
	Volumes      []*volume         `json:",omitempty"`
	Mountpoint   string            `json:",omitempty"`
	Capabilities map[string]string `json:",omitempty"`
	Err          string
}

type driver struct {
	lock    sync.RWMutex
	volumes map[string]*volume
	root    string
	state   string
}

func (d *driver) load() error {
	data, err := os.ReadFile(d.state)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(data, &d.volumes)
}

// save makes the map durable, if it is kept at all. The lock is held.
func (d *driver) save() error {
	if d.state == "" {
		return nil
	}
	data, err := json.Marshal(d.volumes)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(d.state+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Write(data); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if err := os.Rename(d.state+".new", d.state); err != nil {
		return err
	}
	directory, err := os.Open(filepath.Dir(d.state))
	if err != nil {
		return err
	}
	defer directory.Close()
	return directory.Sync()
}

func (d *driver) create(r request) answer {
	d.lock.Lock()
	defer d.lock.Unlock()
	if d.volumes[r.Name] != nil {
		return answer{}
	}
	path := filepath.Join(d.root, r.Name)
	if d.state != "" {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return answer{Err: err.Error()}
		}
	}
	d.volumes[r.Name] = &volume{r.Name, path, time.Now().UTC().Format(time.RFC3339)}
	if err := d.save(); err != nil {
		delete(d.volumes, r.Name)
		return answer{Err: err.Error()}
	}
	return answer{}
}

func (d *driver) remove(r request) answer {
	d.lock.Lock()
	defer d.lock.Unlock()
	found := d.volumes[r.Name]
	if found == nil {
		return answer{Err: "no such volume"}
	}
	delete(d.volumes, r.Name)
	if err := d.save(); err != nil {
		d.volumes[r.Name] = found
		return answer{Err: err.Error()}
	}
	if d.state != "" {
		if err := os.RemoveAll(found.Mountpoint); err != nil {
			return answer{Err: err.Error()}
		}
	}
	return answer{}
}

func (d *driver) get(r request) answer {
	d.lock.RLock()
	defer d.lock.RUnlock()
	found := d.volumes[r.Name]
	if found == nil {
		return answer{Err: "no such volume"}
	}
	return answer{Volume: found}
}

func (d *driver) path(r request) answer {
	found := d.get(r)
	if found.Err != "" {
		return found
	}
	return answer{Mountpoint: found.Volume.Mountpoint}
}

func (d *driver) list(request) answer {
	d.lock.RLock()
	defer d.lock.RUnlock()
	all := make([]*volume, 0, len(d.volumes))
	for _, found := range d.volumes {
		all = append(all, found)
	}
	return answer{Volumes: all}
}

func route(call string, handle func(request) answer) {
	http.HandleFunc("/"+call, func(w http.ResponseWriter, r *http.Request) {
		var asked request
		var given answer
		status := http.StatusOK
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil && r.ContentLength > 0 {
			given.Err, status = err.Error(), http.StatusBadRequest
		} else if given = handle(asked); given.Err != "" {
			status = http.StatusInternalServerError
		}
		w.Header().Set("Content-Type", contentType)
		var body bytes.Buffer
		if err := json.NewEncoder(&body).Encode(given); err != nil {
			log.Print(err)
		}
		// net/http sets the length by itself only where the body is short.
		w.Header()["Content-Length"] = []string{strconv.Itoa(body.Len())}
		w.WriteHeader(status)
		w.Write(body.Bytes())
	})
}

func main() {
	socket := flag.String("socket", "", "where to listen")
	root := flag.String("root", "/nowhere", "where volumes are")
	state := flag.String("state", "", "the file that keeps the map; none: memory only")
	flag.Parse()
	d := &driver{volumes: map[string]*volume{}, root: *root, state: *state}
	if *state != "" {
		if err := d.load(); err != nil {
			log.Fatal(err)
		}
	}
	route("Plugin.Activate", func(request) answer {
		return answer{Implements: []string{"VolumeDriver"}}
	})
	route("VolumeDriver.Capabilities", func(request) answer {
		return answer{Capabilities: map[string]string{"Scope": "local"}}
	})
	route("VolumeDriver.Create", d.create)
	route("VolumeDriver.Remove", d.remove)
	route("VolumeDriver.Get", d.get)
	route("VolumeDriver.Path", d.path)
	route("VolumeDriver.Mount", d.path)
	route("VolumeDriver.Unmount", d.get)
	route("VolumeDriver.List", d.list)
	listener, err := net.Listen("unix", *socket)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.Serve(listener, nil))
}
