"use strict";
(function () {
  // Okabe and Ito's palette, which colour-blind people can tell apart; each line has a pattern of its own beside.
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const hues = () => dark.matches
    ? ["#56b4e9", "#e69f00", "#2fc79a", "#f0e442", "#ff8a5c", "#e69ac6", "#c8d0d8"]
    : ["#0072b2", "#b45f00", "#00775a", "#7a6a00", "#c03a00", "#a8457f", "#39424c"];
  const dashes = [[], [7, 4], [2, 3], [10, 3, 2, 3], [5, 2], [1, 2], [12, 5]];
  const by = (id) => document.getElementById(id);
  const el = (tag, cls, text) => {
    const e = document.createElement(tag);
    if (cls) e.className = cls;
    if (text !== undefined && text !== null) e.textContent = text;
    return e;
  };
  const known = (v) => v !== null && v !== undefined && Number.isFinite(v);
  const ms = (v) => !known(v) ? "–" : v >= 10000 ? (v / 1000).toFixed(1) + " s" : v >= 10 ? v.toFixed(0) + " ms" : v.toFixed(1) + " ms";
  const pct = (v) => !known(v) ? "–" : (v !== 0 && Math.abs(v) < 0.01 ? (100 * v).toFixed(1) : (100 * v).toFixed(0)) + " %";
  const rate = (v) => !known(v) ? "–" : (v < 10 && v % 1 ? v.toFixed(1) : v.toFixed(0)) + "/s";
  // On axes: short, and no two alike.
  const tick = { ms: (v) => v >= 1000 ? Number((v / 1000).toPrecision(3)) + " s" : Number(v.toPrecision(3)) + " ms", pct: (v) => Number((100 * v).toPrecision(3)) + " %" };
  const sentence = (s) => s && s.charAt(0).toUpperCase() + s.slice(1) + (/[.!?]$/.test(s) ? "" : ".");
  const clock = (s) => new Date(s * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

  // A table is filled row by row, in place: what has the focus keeps it, and nothing moves.
  function fill(table, head, rows) {
    let thead = table.tHead;
    if (!thead) {
      thead = table.createTHead();
      const tr = thead.insertRow();
      for (const h of head) { const th = el("th", h.cls, h.text); th.scope = "col"; if (h.title) th.title = h.title; tr.append(th); }
    }
    const body = table.tBodies[0] || table.createTBody();
    while (body.rows.length > rows.length) body.deleteRow(-1);
    rows.forEach((cells, i) => {
      const tr = body.rows[i] || body.insertRow();
      tr.className = cells.cls || "";
      cells.forEach((c, j) => {
        const td = tr.cells[j] || tr.insertCell();
        const cls = (c && c.cls) || "";
        if (td.className !== cls) td.className = cls;
        if (c instanceof Node) { if (!td.firstChild || td.firstChild.dataset === undefined || td.firstChild.dataset.id !== c.dataset.id) td.replaceChildren(c); }
        else if (c && c.draw) c.draw(td);
        else { const text = String(c && c.text !== undefined ? c.text : c); if (td.textContent !== text) td.textContent = text; }
      });
    });
  }
  const tags = (list) => ({ cls: "state", draw: (td) => {
    const key = (list || []).join("|");
    if (td.dataset.key === key) return;
    td.dataset.key = key;
    td.replaceChildren(...(list || []).map((s) => el("span", /failing|ejected|saturated|down/.test(s) ? "tag bad" : "tag", s)));
  } });
  const share = (now, was) => ({ draw: (td) => {
    let box = td.firstChild;
    if (!box || !box.classList) {
      box = el("span", "share"); box.append(el("i"), el("b")); td.replaceChildren(box, el("span", "after"));
    }
    box.firstChild.style.width = (known(now) ? Math.min(100, 100 * now) : 0) + "%";
    box.lastChild.style.display = known(was) ? "" : "none";
    if (known(was)) box.lastChild.style.left = Math.min(100, 100 * was) + "%";
    box.title = known(was) ? "the mark is the operator's share, " + pct(was) : "";
    const text = pct(now);
    if (td.lastChild.textContent !== text) td.lastChild.textContent = text;
  } });

  // Charts.
  const drawn = [];
  class Chart {
    constructor(parent, title, o) {
      this.o = o;
      this.box = el("figure", "chart");
      this.box.style.margin = "0 0 1rem";
      const h = el("h3", "", title);
      this.plot = el("div", "plot");
      this.plot.setAttribute("role", "img");
      this.legend = el("ul", "legend");
      this.box.append(h, this.plot, this.legend);
      parent.append(this.box);
      this.title = title;
      this.marks = [];
      this.bands = [];
      drawn.push(this);
    }
    // set draws lines over x; names may change from time to time.
    set(x, lines, marks, bands) {
      this.x = x; this.lines = lines; this.marks = marks || []; this.bands = bands || [];
      const names = lines.map((l) => l.name).join("\u0000");
      const some = x.length > 0 && lines.some((l) => l.values.some(known));
      if (!some) {
        this.destroy();
        this.plot.replaceChildren(el("div", "empty", "Nothing is known yet."));
        this.legend.replaceChildren();
        return;
      }
      if (!this.u || names !== this.names || this.width() !== this.drawnWidth) { this.names = names; this.make(); }
      else this.u.setData([x, ...lines.map((l) => l.values)]);
      const last = lines[0].values.length - 1;
      this.plot.setAttribute("aria-label", this.title + ". Last values: " + lines.slice(0, 8).map((l) => l.name + " " + this.o.value(l.values[last])).join(", "));
    }
    width() { return Math.max(200, Math.floor(this.plot.clientWidth)); }
    destroy() { if (this.u) { this.u.destroy(); this.u = null; } }
    make() {
      this.destroy();
      this.plot.replaceChildren();
      const c = hues(), style = getComputedStyle(document.documentElement);
      const ink = style.getPropertyValue("--ink").trim(), rule = style.getPropertyValue("--rule").trim();
      const small = parseFloat(getComputedStyle(document.body).fontSize) * 0.8;
      this.small = small;
      const font = small + "px system-ui, sans-serif";
      const axis = { stroke: ink, grid: { stroke: rule, width: 1 }, ticks: { stroke: rule, width: 1 }, font: font };
      const o = this.o;
      this.drawnWidth = this.width();
      this.u = new uPlot({
        width: this.drawnWidth, height: this.plot.clientHeight || 240, padding: [o.time === false ? null : 1.5 * small, null, null, null], legend: { show: false }, cursor: { y: false, points: { size: 6 } },
        scales: { x: { time: o.time !== false }, y: o.log ? { distr: 3, range: (u, lo, hi) => logRange(lo, hi) } : { range: (u, lo, hi) => [0, Math.max(hi || 0, o.least || 1e-9) * 1.08] } },
        axes: [
          Object.assign({}, axis, o.time === false ? { label: o.xName || "", labelFont: font, labelSize: small * 1.6 } : { values: (u, list) => list.map((v) => v === null ? "" : clock(v)), space: 5.6 * small }),
          Object.assign({}, axis, { size: 5 * small, values: (u, list) => list.map((v) => v === null ? "" : (o.tick || o.value)(v)) }),
        ],
        series: [{}, ...this.lines.map((l, i) => ({ label: l.name, stroke: c[i % c.length], width: 2, dash: dashes[i % dashes.length], spanGaps: false, points: { show: this.x.length < 40, size: 5 } }))],
        hooks: {
          drawClear: [(u) => this.under(u)],
          draw: [(u) => this.over(u)],
          setCursor: [(u) => this.tell(u.cursor.idx)],
        },
      }, [this.x, ...this.lines.map((l) => l.values)], this.plot);
      this.tell(null);
    }
    // under draws bands of regimes, their names in the strip above the lines.
    under(u) {
      const ctx = u.ctx, tint = dark.matches ? "rgba(255,255,255,.055)" : "rgba(0,40,90,.06)";
      ctx.save();
      for (const b of this.bands) {
        const l = Math.max(u.bbox.left, u.valToPos(b.from, "x", true)), r = Math.min(u.bbox.left + u.bbox.width, u.valToPos(b.to, "x", true));
        if (r <= l) continue;
        if (b.index % 2) { ctx.fillStyle = tint; ctx.fillRect(l, u.bbox.top, r - l, u.bbox.height); }
        ctx.fillStyle = dark.matches ? "#9aa6b2" : "#57606a";
        ctx.font = 0.85 * this.small * devicePixelRatio + "px system-ui, sans-serif";
        if (ctx.measureText(b.name).width + 8 * devicePixelRatio < r - l) ctx.fillText(b.name, l + 4 * devicePixelRatio, u.bbox.top - 5 * devicePixelRatio);
      }
      ctx.restore();
    }
    // over draws the moments of changes, and intervals.
    over(u) {
      const ctx = u.ctx, ink = getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();
      ctx.save();
      ctx.strokeStyle = ink; ctx.fillStyle = ink; ctx.lineWidth = devicePixelRatio;
      for (const m of this.marks) {
        const x = u.valToPos(m.x, "x", true);
        if (x < u.bbox.left || x > u.bbox.left + u.bbox.width) continue;
        ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
        ctx.beginPath(); ctx.moveTo(x, u.bbox.top); ctx.lineTo(x, u.bbox.top + u.bbox.height); ctx.stroke();
        ctx.setLineDash([]);
        const s = 5 * devicePixelRatio, y = u.bbox.top;
        ctx.beginPath(); ctx.moveTo(x - s, y); ctx.lineTo(x + s, y); ctx.lineTo(x, y + 1.6 * s); ctx.fill();
      }
      for (const b of this.o.intervals || []) {
        const x = u.valToPos(b.x, "x", true), lo = u.valToPos(b.low, "y", true), hi = u.valToPos(b.high, "y", true);
        ctx.beginPath(); ctx.moveTo(x, lo); ctx.lineTo(x, hi); ctx.stroke();
      }
      ctx.restore();
    }
    // tell writes the values at the cursor, or the last ones, into the legend.
    tell(idx) {
      const c = hues(), at = known(idx) ? idx : this.x.length - 1;
      const items = this.lines.map((l, i) => {
        let li = this.legend.children[i];
        if (!li || li.dataset.name !== l.name || li.dataset.hue !== c[i % c.length]) {
          li = el("li"); li.dataset.name = l.name; li.dataset.hue = c[i % c.length];
          const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
          svg.setAttribute("viewBox", "0 0 32 10"); svg.setAttribute("aria-hidden", "true");
          const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
          for (const [k, v] of [["x1", 0], ["x2", 32], ["y1", 5], ["y2", 5], ["stroke", c[i % c.length]], ["stroke-width", 3], ["stroke-dasharray", dashes[i % dashes.length].join(" ")]]) line.setAttribute(k, v);
          svg.append(line);
          li.append(svg, el("span"));
        }
        li.lastChild.textContent = l.name + " " + this.o.value(l.values[at]);
        return li;
      });
      if (items.some((li, i) => this.legend.children[i] !== li) || this.legend.children.length !== items.length) this.legend.replaceChildren(...items);
    }
  }
  function logRange(lo, hi) {
    if (!(lo > 0) || !(hi > 0)) return [1, 10];
    return [Math.pow(10, Math.floor(Math.log10(lo))), Math.pow(10, Math.ceil(Math.log10(hi * 1.05) * 2) / 2)];
  }
  let resizing;
  const redraw = () => drawn.forEach((c) => { if (c.u && c.x) c.make(); });
  addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(redraw, 120); });
  dark.addEventListener("change", redraw);
  addEventListener("beforeprint", redraw);

  // What is shown.
  let state = null, chosen = null, history = null, embedded = null, failures = 0, charts = null;

  function makeCharts() {
    const p = by("charts");
    charts = {
      latency: new Chart(p, "Response time", { log: true, value: ms, tick: tick.ms }),
      shares: new Chart(p, "Share of the requests by server", { value: pct, tick: tick.pct, least: 0.05 }),
      load: new Chart(p, "Requests", { value: rate, least: 1 }),
      errors: new Chart(p, "Failed requests", { value: pct, tick: tick.pct, least: 0.01 }),
    };
  }
  function merge(d) {
    const s = d.series;
    if (!history || history.key !== d.key || history.run !== state.run || s.from > history.from + history.t.length || s.from <= history.from) {
      history = Object.assign({ key: d.key, run: state.run }, s);
      return;
    }
    const keep = s.from - history.from;
    const join = (a, b) => a.slice(0, keep).concat(b);
    const before = history.t.slice(0, keep);
    const shares = s.names.map((n, i) => {
      const at = history.names.indexOf(n);
      return (at < 0 ? before.map(() => null) : history.shares[at].slice(0, keep)).concat(s.shares[i]);
    });
    history = { key: d.key, run: state.run, from: history.from, t: join(history.t, s.t), p50_ms: join(history.p50_ms, s.p50_ms), p99_ms: join(history.p99_ms, s.p99_ms),
      rate_per_s: join(history.rate_per_s, s.rate_per_s), error_share: join(history.error_share, s.error_share), regime: join(history.regime, s.regime), names: s.names, shares };
    const most = 1400, over = history.t.length - most;
    if (over > 0) {
      for (const k of ["t", "p50_ms", "p99_ms", "rate_per_s", "error_share", "regime"]) history[k] = history[k].slice(over);
      history.shares = history.shares.map((l) => l.slice(over));
      history.from += over;
    }
  }
  function regimes(h) {
    const out = [];
    h.regime.forEach((r, i) => {
      const last = out[out.length - 1], to = i + 1 < h.t.length ? h.t[i + 1] : h.t[i];
      if (last && last.index === r) last.to = to;
      else out.push({ index: r, from: h.t[i], to, name: r < 0 ? "" : "load " + r });
    });
    return out.filter((b) => b.index >= 0);
  }
  function card(title, lines) {
    const c = el("div", "card");
    c.append(el("h2", "", title), ...lines.filter(Boolean).map((l) => el("p", "", l)));
    return c;
  }
  function showState() {
    const s = state, a = s.about;
    by("facts").textContent = [a.host, a.target, a.nginx_version && "NGINX " + a.nginx_version, "trimtab " + a.trimtab_version, s.learner && "learner " + s.learner, a.command].filter(Boolean).join(" · ");
    const banner = by("status");
    const cls = "banner " + s.status.level;
    if (banner.className !== cls) banner.className = cls;
    if (by("status-text").textContent !== s.status.text) by("status-text").textContent = s.status.text;
    const todo = s.status.todo ? "What to do: " + s.status.todo + "." : "";
    if (by("status-todo").textContent !== todo) by("status-todo").textContent = todo;
    by("hold").hidden = !s.hold.possible || embedded !== null;
    by("hold-on").disabled = s.hold.held;
    by("hold-off").disabled = !s.hold.held;
    const cards = [card("Budget", [s.budget || "Nothing has been decided yet."]), card("Load", s.regime && s.regime.length ? s.regime.slice(0, 3) : ["Not known yet."])];
    if (s.objective) cards.push(card("Objective", s.objective.map((l) => l.replace(/^Objective /, ""))));
    if (s.proof) cards.push(card(s.proof.running ? "Experiment, under way" : "Experiment", [s.proof.headline, s.proof.running ? s.proof.progress : ""].map(sentence)));
    const total = s.upstreams.reduce((n, u) => n + u.rate_per_s, 0);
    cards.push(card("Traffic", [rate(total) + " over " + s.upstreams.length + (s.upstreams.length === 1 ? " upstream" : " upstreams")]));
    by("cards").replaceChildren(...cards);
    showGroups();
    showChanges();
    const rest = by("rest");
    const lists = [["Ordered, and not tuned meanwhile", s.orders], ["By the configuration", s.configured], ["Not tuned", s.left_out], ["Errors since the start", s.errors]].filter(([, list]) => list && list.length);
    rest.hidden = !lists.length;
    if (!rest.hidden) {
      rest.replaceChildren();
      for (const [title, list] of lists) {
        const ul = el("ul");
        ul.append(...list.map((t) => el("li", "", t)));
        rest.append(el("h2", "", title), ul);
      }
    }
  }
  function showGroups() {
    const s = state, want = by("filter").value.toLowerCase();
    by("upstreams").hidden = s.upstreams.length === 0;
    if (s.upstreams.length && !s.upstreams.some((u) => u.key === chosen)) chosen = s.upstreams[0].key;
    const list = s.upstreams.filter((u) => u.name.toLowerCase().includes(want));
    by("count").textContent = (list.length < s.upstreams.length ? list.length + " of " : "") + s.upstreams.length + (s.more_upstreams ? ", and " + s.more_upstreams + " more that are not listed" : "");
    const head = ["Upstream", "State", "Servers", "Requests", "p50", "p99", "Errors", "Capacity used", "Sent elsewhere"].map((t, i) => ({ text: t, cls: i === 1 ? "text" : "", title: i === 8 ? "share of the requests that other servers get than by the operator's weights" : "" }));
    fill(by("groups"), head, list.map((u) => {
      const row = [{ draw: (td) => {
        let b = td.firstChild;
        if (!b || b.tagName !== "BUTTON") { b = el("button"); b.type = "button"; b.addEventListener("click", () => choose(b.dataset.key)); td.replaceChildren(b); }
        b.dataset.key = u.key;
        b.setAttribute("aria-pressed", u.key === chosen);
        if (b.textContent !== u.name) b.textContent = u.name;
      } }, tags(u.states), u.servers, rate(u.rate_per_s), ms(u.p50_ms), ms(u.p99_ms), pct(u.error_share), pct(u.capacity_used), pct(u.moved)];
      row.cls = u.key === chosen ? "chosen" : "";
      return row;
    }));
  }
  function choose(key) {
    chosen = key;
    history = null;
    showGroups();
    if (embedded) { const d = embedded.details.find((x) => x.key === key); if (d) showDetail(d); } else poll(true);
  }
  function showDetail(d) {
    const u = state.upstreams.find((x) => x.key === d.key);
    if (!u) return;
    merge(d);
    by("detail").hidden = false;
    by("detail-name").textContent = u.name;
    if (!charts) makeCharts();
    const h = history, marks = state.changes.filter((c) => c.upstreams.includes(d.key)).map((c) => ({ x: c.at, text: c.moves.join(", ") })), bands = regimes(h);
    charts.latency.set(h.t, [{ name: "p50", values: h.p50_ms }, { name: "p99", values: h.p99_ms }], marks, bands);
    const lines = h.names.map((n, i) => ({ name: n, values: h.shares[i] }));
    charts.shares.set(h.t, lines.slice(0, 12), marks, bands);
    charts.load.set(h.t, [{ name: "finished", values: h.rate_per_s }], marks, bands);
    charts.errors.set(h.t, [{ name: "failed", values: h.error_share }], marks, bands);
    const why = by("why"), w = u.why >= 0 && state.why ? state.why[u.why] : null;
    const text = w ? w.sentences : ["Nothing has been decided yet."];
    if (why.dataset.key !== text.join("\n")) { why.dataset.key = text.join("\n"); why.replaceChildren(...text.map((t) => el("p", "", t))); }
    const head = [["Server"], ["State"], ["Share now", "share of the weights; the mark is the operator's"], ["Operator's"], ["Got", "share of the requests of the last interval"], ["Requests"], ["p50"], ["p99"], ["Errors"], ["Slots", "requests that it serves at a time, as believed"], ["Used", "utilisation of what it is believed to serve, give or take"], ["Service", "time that a request takes, without waiting, as believed"], ["Saturates at"]]
      .map(([t, title], i) => ({ text: t, title: title || "", cls: i === 1 ? "text" : "" }));
    fill(by("servers"), head, d.servers.map((x) => [x.name, tags(x.states), share(x.share, x.operator_share), pct(x.operator_share), pct(x.got_share), rate(x.rate_per_s), ms(x.p50_ms), ms(x.p99_ms), pct(x.error_share),
      known(x.slots) ? x.slots.toFixed(x.slots < 10 ? 1 : 0) : "–", known(x.utilisation) ? pct(x.utilisation) + (known(x.service_relative_sd) ? " ± " + (100 * x.utilisation * x.service_relative_sd).toFixed(0) : "") : "–",
      known(x.service_ms) ? ms(x.service_ms) + (known(x.service_relative_sd) ? " ± " + pct(x.service_relative_sd) : "") : "–", rate(x.capacity_per_s)]));
    by("more-servers").textContent = d.more_servers ? "and " + d.more_servers + " servers with smaller shares" : "";
  }
  function showChanges() {
    by("changes").hidden = false;
    const list = by("change-list"), all = state.changes.slice().reverse();
    const key = all.map((c) => c.seq + (c.measured || "")).join() + "x";
    if (list.dataset.key === key) return;
    list.dataset.key = key;
    if (!all.length) { list.replaceChildren(el("li", "quiet", "No change has been made.")); return; }
    const cause = { tuner: "tuned", operator: "by the operator", experiment: "experiment", orders: "ordered" };
    list.replaceChildren(...all.map((c) => {
      const li = el("li");
      li.append(el("div", "when", clock(c.at) + " · " + (cause[c.cause] || c.cause) + (c.reloaded ? " · by a reload" : "")), el("div", "", c.moves.join("; ")));
      const more = [c.expected, c.measured].filter(Boolean).join("; ");
      if (more) li.append(el("div", "", sentence(more)));
      if (c.reason) li.append(el("div", "quiet", c.reason));
      if (c.undo) li.append(el("div", "quiet", "Take back: " + c.undo));
      return li;
    }));
  }
  function chart(parent, c) {
    const unit = c.unit || "", value = unit === "ms" ? ms : unit === "%" ? pct : unit === "/s" ? rate : (v) => known(v) ? Number(v.toPrecision(3)) + (unit ? " " + unit : "") : "–";
    const p = new Chart(parent, c.title, { log: c.log, value, tick: unit === "ms" ? tick.ms : unit === "%" ? tick.pct : null, time: c.x_name === "time", xName: c.x_name, intervals: c.bands });
    p.set(c.x, c.lines, c.marks || [], []);
  }
  function showReport(r) {
    const s = by("report");
    s.hidden = false;
    by("title").textContent = r.title;
    s.append(el("p", "headline", r.headline));
    if (r.warning) s.append(el("p", "banner fail", r.warning));
    if (r.facts && r.facts.length) {
      const dl = el("dl", "facts");
      for (const [k, v] of r.facts) dl.append(el("dt", "", k), el("dd", "", v));
      s.append(dl);
    }
    const grid = el("div"); grid.id = "report-charts";
    s.append(grid);
    for (const t of r.tables || []) {
      const wide = el("div", "wide"); wide.tabIndex = 0; wide.setAttribute("role", "region"); wide.setAttribute("aria-label", t.caption || "Table");
      const table = el("table");
      if (t.caption) table.append(el("caption", "", t.caption));
      fill(table, t.head.map((h) => ({ text: h })), t.rows);
      wide.append(table);
      s.append(wide);
    }
    for (const c of r.charts || []) chart(grid, c);
    for (const n of r.notes || []) s.append(el("p", "quiet", n));
  }

  // Asking.
  let timer = null, asking = null;
  async function poll(now) {
    clearTimeout(timer);
    if (asking) asking.abort();
    const me = asking = new AbortController();
    const limit = setTimeout(() => me.abort(), 10000);
    let wait = 2000;
    try {
      const since = history && state && history.key === chosen && history.run === state.run ? history.from + history.t.length - 1 : 0;
      const q = new URLSearchParams({ upstream: chosen || "", since, run: state ? state.run : "", step: state ? state.seq : 0, same: now ? "0" : "1" });
      const r = await fetch("/page/live?" + q, { signal: me.signal, cache: "no-store" });
      if (r.status !== 204) {
        if (!r.ok) throw new Error("the daemon answers " + r.status);
        const live = await r.json();
        if (live.state.schema !== 1 || (state && state.about.trimtab_version !== live.state.about.trimtab_version)) { location.reload(); return; }
        if (state && state.run !== live.state.run) history = null;
        state = live.state;
        if (!chosen && live.detail) chosen = live.detail.key;
        showState();
        if (live.detail) { chosen = live.detail.key; showDetail(live.detail); } else by("detail").hidden = true;
      }
      failures = 0;
      wait = Math.min(15000, Math.max(1000, 1000 * (state ? state.interval_s : 2)));
      by("fresh").textContent = state ? "As of " + new Date(state.at).toLocaleTimeString([], { hour12: false }) + "." : "";
    } catch (e) {
      if (me !== asking) return;
      failures++;
      wait = Math.min(15000, 1000 * failures);
      by("fresh").textContent = "The daemon does not answer (" + (e.name === "AbortError" ? "too slow" : e.message) + "); asking again.";
    } finally {
      clearTimeout(limit);
      if (me === asking) { asking = null; timer = setTimeout(() => poll(false), document.hidden ? Math.max(wait, 15000) : wait); }
    }
  }
  async function hold(on) {
    const said = by("hold-said");
    said.textContent = "…";
    try {
      const r = await fetch("/page/hold", { method: "POST", headers: { "Content-Type": "application/json", "Authorization": "Bearer " + by("token").value }, body: JSON.stringify({ hold: on }) });
      said.textContent = r.ok ? (on ? "Held." : "Goes on.") : (await r.text()).trim();
      if (r.ok) poll(true);
    } catch (e) { said.textContent = "The daemon does not answer."; }
  }
  by("hold-on").addEventListener("click", () => hold(true));
  by("hold-off").addEventListener("click", () => hold(false));
  by("filter").addEventListener("input", () => { if (state) showGroups(); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden && !embedded) poll(false); });

  const data = by("data");
  if (data) {
    embedded = JSON.parse(data.textContent);
    embedded.details = embedded.details || [];
    if (embedded.report) showReport(embedded.report);
    by("status").hidden = !embedded.state || !!embedded.report;
    if (embedded.state) {
      state = embedded.state;
      chosen = embedded.details.length ? embedded.details[0].key : null;
      showState();
      if (embedded.details.length) showDetail(embedded.details[0]);
    } else by("cards").hidden = true;
  } else poll(true);
})();
