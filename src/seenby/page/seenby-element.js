// Built from clients/js/src/element by npm run build: change it there.
var m=class{#e;#i=!1;#t;constructor(e=5e3){this.#e=e}say(e,t){let n=()=>{e.textContent=t,this.#i=!0,setTimeout(()=>{e.textContent="",this.#i=!1;let i=this.#t;this.#t=void 0,i?.()},this.#e)};this.#i?this.#t=n:n()}};var T="http://www.w3.org/2000/svg";function a(s,e={},...t){let n=document.createElement(s);for(let[i,o]of Object.entries(e))n.setAttribute(i,o);return n.append(...t),n}function p(s,...e){let t=document.createElementNS(T,"svg");t.setAttribute("viewBox",s),t.setAttribute("aria-hidden","true"),t.setAttribute("focusable","false");for(let n of e){let i=document.createElementNS(T,"path");i.setAttribute("d",n),t.append(i)}return t}function h(s){if(s==null||s==="")return;let e=Number(s),t=Number.isNaN(e)?Date.parse(String(s))/1e3:e;return Math.abs(t)<=864e10?t:void 0}var g=class{#e;#i;#t;#n=new Map;#o=!1;#r;constructor(e=0,t){this.#e=e,this.#i=t}get known(){let[e]=this.#n.values(),t=this.#e===1&&this.#n.size===1;return{read:this.#e,of:this.#i,at:t?e:void 0,personal:this.#t}}asked(){this.#r=[]}failed(){this.#r=void 0}answered(e){this.#e=e.count,this.#i=e.member_count??this.#i,this.#n=new Map(e.receipts.map(i=>[i.reader_id,h(i.read_at)])),this.#o=this.#n.size>=e.count;let[t]=e.receipts;t?.conversation_type!==void 0&&(this.#t=t.conversation_type==="private");let n=this.#r??[];return this.#r=void 0,n.map(i=>this.#s(i)).includes(!0)}event(e){return this.#r?.push(e),this.#s(e)&&this.#r===void 0}#s(e){let t=e.type==="read_withdrawn",n=!1;if(e.read!==void 0)(t||e.read>this.#e)&&(this.#e=e.read,this.#i=e.of??this.#i);else{let i=e.type!=="read_count"&&this.#n.has(e.reader_id);t===i&&(this.#e=Math.max(0,this.#e+(t?-1:1))),n=!i&&!this.#o}return e.type==="read_receipt"&&this.#n.set(e.reader_id,e.read_at),t&&this.#n.delete(e.reader_id),n}};var j=20,u=4,b=class{element;#e;#i=a("h2",{part:"heading",id:"heading"});#t=a("ul",{part:"list",role:"list"});#n=a("p",{part:"note",role:"status"});#o=a("button",{part:"more",type:"button"});#r=a("button",{part:"close",type:"button"});#s=new Map;#d;#h;#a=!1;#u=!1;#l=0;#m=[];#p;#c=0;constructor(e){this.#e=e,this.#r.append(p("0 0 16 16","M4 4l8 8M12 4l-8 8")),this.element=a("div",{part:"popover",popover:"auto",role:"dialog",tabindex:"-1",autofocus:""},a("header",{},this.#i,this.#r),a("div",{part:"body"},this.#t,this.#n,this.#o)),this.element.setAttribute("aria-labelledby","heading"),this.#r.addEventListener("click",()=>{this.hide()}),this.#o.addEventListener("click",()=>{this.#a||this.#f(!0)}),this.element.addEventListener("toggle",t=>{t.newState==="open"?this.#b():this.#p?.abort()}),this.element.addEventListener("focusout",t=>{let n=t.relatedTarget;n instanceof Node&&n!==this.#e&&!this.element.contains(n)&&this.hide()})}get shown(){return this.element.matches(":popover-open")}hide(){this.shown&&this.element.hidePopover()}remove(){this.#p?.abort(),this.element.remove()}start(e,t){this.#d=e,this.#c+=1,this.#h=void 0,this.#a=!1,this.#u=!1,this.#l=0,this.#s.clear(),this.#t.replaceChildren(),this.#r.setAttribute("aria-label",e.texts.close),this.label(t),this.#f(!1)}label(e){this.#i.textContent!==e&&(this.#i.textContent=e)}event(e,t){this.#a&&this.#m.push([e,t]),!(!this.#u||this.#d===void 0)&&(this.#l=t,e.type==="read_receipt"&&this.#w(e.reader_id,e.read_at,this.#d),e.type==="read_withdrawn"&&(this.#s.get(e.reader_id)?.remove(),this.#s.delete(e.reader_id)),this.#y(this.#d.texts,!0))}async#f(e){let t=this.#d;if(t===void 0)return;let{texts:n}=t,i=this.#c;this.#a=!0,this.#m=[],this.#n.textContent=n.loading,this.#o.hidden=!e;try{let o={limit:j};this.#h!==void 0&&(o.cursor=this.#h);let r=await t.load(t.msgId,o);i===this.#c&&this.#v(r,t,e)}catch{if(i!==this.#c)return;this.#a=!1,this.#n.textContent=n.failed,this.#o.textContent=n.again,this.#o.hidden=!1}this.#g()}#v(e,t,n){this.#a=!1,this.#l=e.count,this.#h=e.next_cursor;let i=e.receipts.map(({reader_id:o,read_at:r})=>this.#w(o,h(r),t));this.#u=e.next_cursor===void 0||this.#s.size>=e.count,this.#y(t.texts,e.names!==!1);for(let[o,r]of this.#m)this.event(o,r);n&&this.shown&&(i.find(o=>o!==void 0)??this.element).focus()}#y(e,t){let n=this.#l-this.#s.size;if(this.#o.textContent=e.more,this.#o.hidden=this.#u,!this.#u)this.#n.textContent="";else if(this.#s.size===0)this.#n.textContent=t&&this.#l===0?e.sent:e.nameless;else{let i=this.#d?.writing;this.#n.textContent=n>0&&i?e.unnamed(i.number(n),n):""}}#w(e,t,n){if(this.#s.has(e))return;let i=a("bdi",{part:"name"}),o=a("li",{part:"reader",tabindex:"-1"},i);if(t!==void 0){let r=new Date(t*1e3).toISOString();o.append(a("time",{part:"time",datetime:r},n.writing.time(t)))}return I(i,e,n.nameOf),this.#s.set(e,o),this.#t.append(o),o}#b(){let e=()=>{this.#g()};this.#p=new AbortController;let t={signal:this.#p.signal,passive:!0,capture:!0};window.addEventListener("scroll",e,t),window.addEventListener("resize",e,t),e()}#g(){if(!this.shown)return;let{style:e}=this.element,t=this.#e.getBoundingClientRect(),{width:n,height:i}=this.element.getBoundingClientRect(),{clientWidth:o,clientHeight:r}=document.documentElement,d=getComputedStyle(this.#e).direction==="rtl",l=t.bottom+u,f=t.top-u-i,R=l+i<=r||r-l>=t.top,H=d?t.left:t.right-n;e.left=`${k(H,u,o-n-u)}px`,e.top=`${k(R?l:f,u,r-i-u)}px`}};function k(s,e,t){return Math.round(Math.max(e,Math.min(s,t)))}async function I(s,e,t){let n=e;try{n=t?.(e)??e,typeof n!="string"&&(n=await n||e)}catch{n=e}s.textContent=n}var W=`
:host {
  --_color: var(--seen-by-color, light-dark(#57606a, #a9b3be));
  --_read: var(--seen-by-read-color, light-dark(#0a5cad, #7cb8ff));
  /* The names lie on a ground of their own, and so do not follow the colours above. */
  --_muted: var(--seen-by-muted-color, light-dark(#57606a, #a9b3be));
  --_size: var(--seen-by-size, 1em);
  display: inline-block;
  vertical-align: baseline;
  font-size: var(--seen-by-font-size, 0.8125rem);
  line-height: 1.4;
}
:host([hidden]) { display: none; }
[hidden] { display: none !important; }
[part~="summary"] {
  display: inline-flex;
  align-items: center;
  gap: 0.3em;
  margin: 0;
  padding: 0.15em 0.3em;
  border: 0;
  border-radius: 0.3em;
  background: none;
  color: var(--_color);
  font: inherit;
  line-height: inherit;
  white-space: nowrap;
}
button { cursor: pointer; }
button[part~="summary"] {
  text-decoration: underline dotted;
  text-underline-offset: 0.2em;
  min-block-size: 24px;
}
button:hover { text-decoration-style: solid; }
:focus-visible { outline: 2px solid currentColor; outline-offset: 1px; }
[part~="summary"]:is([data-state="read"], [data-state="all"]) { color: var(--_read); }
svg {
  inline-size: calc(var(--_size) * 1.5);
  block-size: var(--_size);
  flex: none;
  fill: none;
  stroke: currentColor;
  stroke-width: 1.75;
  stroke-linecap: round;
  stroke-linejoin: round;
}
[data-state="sent"] path { translate: 4px; }
[data-state="sent"] path + path { display: none; }
[popover] {
  position: fixed;
  inset: auto;
  margin: 0;
  box-sizing: border-box;
  inline-size: max-content;
  min-inline-size: min(14rem, 100vw - 1rem);
  max-inline-size: min(22rem, 100vw - 1rem);
  max-block-size: min(24rem, 100vh - 1rem);
  overflow: auto;
  overscroll-behavior: contain;
  padding: 0;
  border: 1px solid var(--seen-by-border-color, light-dark(#c4cad1, #4b5561));
  border-radius: 0.5rem;
  background: var(--seen-by-background, light-dark(#fff, #1d2126));
  color: var(--seen-by-text-color, light-dark(#1b1f24, #e8ebef));
  box-shadow: 0 6px 24px rgb(0 0 0 / 0.2);
  font-size: 0.875rem;
  text-align: start;
  white-space: normal;
}
header {
  position: sticky;
  inset-block-start: 0;
  background: inherit;
  display: flex;
  align-items: center;
  justify-content: space-between;
  gap: 0.75rem;
  padding: 0.5rem 0.75rem;
}
h2 { margin: 0; font: inherit; font-weight: 600; }
[part="body"] { padding: 0 0.75rem 0.5rem; }
ul { list-style: none; margin: 0; padding: 0; }
li { display: flex; justify-content: space-between; gap: 1rem; padding: 0.25rem 0; }
bdi { overflow-wrap: anywhere; min-inline-size: 0; }
time, p { color: var(--_muted); }
time { flex: none; }
/* A page from right to left may have words from left to right: "5 of 10" is not "of 10 5". */
[part="text"], h2, p, time { unicode-bidi: plaintext; }
p { margin: 0; padding: 0.25rem 0; }
p:empty { display: none; }
[part="more"], [part="close"] {
  font: inherit;
  color: inherit;
  background: none;
  border: 1px solid var(--_muted);
  border-radius: 0.3rem;
  padding: 0.2rem 0.6rem;
  min-block-size: 24px;
}
[part="close"] { border-color: transparent; min-inline-size: 28px; padding: 0; }
[part="close"] svg { inline-size: 1em; block-size: 1em; vertical-align: middle; }
[role="status"].said {
  position: absolute;
  inline-size: 1px;
  block-size: 1px;
  margin: -1px;
  overflow: hidden;
  clip-path: inset(50%);
  white-space: nowrap;
}
@media (prefers-reduced-motion: no-preference) {
  [part~="summary"] { transition: color 0.3s; }
  [popover] { transition: opacity 0.12s; }
  @starting-style { [popover]:popover-open { opacity: 0; } }
}
@media (forced-colors: active) {
  [part~="summary"]:is([data-state="read"], [data-state="all"]) { font-weight: 600; }
}
`,y;function C(){return y===void 0&&(y=new CSSStyleSheet,y.replaceSync(W)),y}var x=Object.freeze({sent:"Sent",read:s=>s===""?"Read":`Read ${s}`,some:(s,e)=>e===void 0?`Read by ${s}`:`${s} of ${e}`,all:()=>"Read by all",someLabel:(s,e)=>e===void 0?`Read by ${s}`:`Read by ${s} of ${e}`,allLabel:s=>`Read by all ${s}`,unnamed:s=>`and ${s} more`,nameless:"For this message only the number is known, not the names.",loading:"Loading names …",failed:"The names could not be loaded.",more:"Show more",again:"Try again",close:"Close"}),w=class{#e;#i;#t;constructor(e){let t=P(e);this.#e=new Intl.NumberFormat(t),this.#i=new Intl.DateTimeFormat(t,{timeStyle:"short"}),this.#t=new Intl.DateTimeFormat(t,{dateStyle:"medium",timeStyle:"short"})}number(e){return this.#e.format(e)}time(e,t=new Date){let n=new Date(e*1e3);return(n.toDateString()===t.toDateString()?this.#i:this.#t).format(n)}};function P(s){try{return s===void 0?void 0:Intl.getCanonicalLocales(s)[0]}catch{return}}var L=new Map;function S(s){let e=L.get(s);return e===void 0&&(e=new w(s),L.set(s,e)),e}var D=100,M=2e3,$=6e4,K=/^[\x21-\x7e]{1,64}$/,B=(s,e)=>{let t=setTimeout(e,s);return()=>{clearTimeout(t)}},E=class{#e;#i;#t=new Map;#n=new Set;#o=!1;#r=M;#s;#d=[];constructor(e,t=B){this.#e=e,this.#i=t}watch(e,t,n,i){if(!K.test(e))return()=>{};this.#a();let o=this.#t.get(e);o===void 0&&(o={tally:new g(t,n),watchers:new Set},this.#t.set(e,o),this.#l(e));let{tally:r,watchers:d}=o;return d.add(i),i(r.known),()=>{d.delete(i),queueMicrotask(()=>{d.size===0&&this.#h(e,d)})}}#h(e,t){if(this.#t.get(e)?.watchers===t&&(this.#t.delete(e),this.#n.delete(e),!(this.#t.size>0))){for(let n of this.#d.splice(0))n();this.#s?.(),this.#s=void 0}}#a(){if(this.#d.length>0)return;let e=this.#e,t=n=>{this.#u(n)};this.#d=[e.on("read_receipt",t),e.on("read_count",t),e.on("read_withdrawn",t),e.on("reset",()=>{for(let n of this.#t.keys())this.#l(n)}),e.on("status",({status:n})=>{n==="online"&&this.#f()})]}#u(e){let t=this.#t.get(e.msg_id);t!==void 0&&(t.tally.event(e)&&this.#l(e.msg_id),N(t,e))}#l(e){this.#n.add(e),!this.#o&&this.#s===void 0&&this.#m()}async#m(){for(this.#o=!0,await Promise.resolve();this.#n.size>0&&this.#s===void 0;){let e=new Map;for(let t of this.#n){let n=this.#t.get(t);if(e.size===D)break;this.#n.delete(t),n!==void 0&&(n.tally.asked(),e.set(t,n))}try{let t=await this.#e.receipts([...e.keys()]);this.#r=M;for(let n of t)this.#p(e,n);for(let n of e.values())n.tally.failed()}catch(t){this.#c(e,t)}}this.#o=!1}#p(e,t){let n=e.get(t.msg_id);n!==void 0&&(e.delete(t.msg_id),n.tally.answered(t)&&this.#n.add(t.msg_id),N(n))}#c(e,t){let n=t?.retriable!==!1;for(let[i,o]of e)o.tally.failed(),n&&this.#t.get(i)===o&&this.#n.add(i);!n||this.#t.size===0||(this.#s=this.#i(this.#r,()=>{this.#f()}),this.#r=Math.min(this.#r*2,$))}#f(){this.#s?.(),this.#s=void 0,this.#o||this.#m()}};function N(s,e){for(let t of[...s.watchers])t(s.tally.known,e)}var _=new WeakMap;function A(s){let e=_.get(s);return e===void 0&&(e=new E(s),_.set(s,e)),e}function z(s,e,t){let{read:n,of:i,at:o,personal:r}=s;if(n<=0)return c("sent",e.sent,e.sent);if(i===1||r===!0||i===void 0&&n===1&&r!==!1){let f=e.read(o===void 0?"":t.time(o));return c("read",f,f)}let d=t.number(n);if(i===void 0)return c("some",e.some(d),e.someLabel(d));let l=t.number(i);return n>=i?c("all",e.all(l),e.allLabel(l)):c("some",e.some(d,l),e.someLabel(d,l))}function c(s,e,t){return{state:s,text:e,label:t.includes(e)?t:e}}var F=globalThis.HTMLElement??class{},G=new m,v=class s extends F{static observedAttributes=["msg-id","read","of","read-at","announce","locale"];#e;#i;#t;#n;#o=this.attachShadow({mode:"open"});#r=this.attachInternals();#s=p("0 0 24 16","M2 9l4 4L14.5 4","M10.5 11.5L12 13l8.5-9");#d=a("span",{part:"text"});#h;#a;#u;#l;#m;#p;#c;#f="";#v=!1;#y=!1;constructor(){super(),this.#o.adoptedStyleSheets=[C()]}get msgId(){return this.getAttribute("msg-id")??""}set msgId(e){this.#b("msg-id",e)}get read(){return O(this.getAttribute("read"))??0}set read(e){this.#b("read",e)}get of(){return O(this.getAttribute("of"))}set of(e){this.#b("of",e)}get readAt(){return h(this.getAttribute("read-at"))}set readAt(e){this.#b("read-at",e)}get announce(){return this.hasAttribute("announce")}set announce(e){this.toggleAttribute("announce",!!e)}get locale(){return(this.getAttribute("locale")??this.closest("[lang]")?.getAttribute("lang"))||document.documentElement.lang}set locale(e){this.#b("locale",e)}get client(){return this.#e}set client(e){this.#e=e??void 0,this.#g()}get load(){return this.#i}set load(e){this.#i=e??void 0,this.#g()}get nameOf(){return this.#t}set nameOf(e){this.#t=e??void 0}get texts(){return{...x,...this.#n}}set texts(e){this.#n=e??void 0,this.#g()}connectedCallback(){this.#w(),this.#x(),this.#g()}disconnectedCallback(){this.#x(),this.#E()}attributeChangedCallback(){this.#g()}#w(){for(let e of Object.keys(this)){if(!(e in s.prototype))continue;let t=Reflect.get(this,e);Reflect.deleteProperty(this,e),Reflect.set(this,e,t)}}#b(e,t){t==null?this.removeAttribute(e):this.setAttribute(e,String(t))}#g(){this.#y||!this.isConnected||(this.#y=!0,queueMicrotask(()=>{this.isConnected&&this.#x(),this.#y=!1,this.isConnected&&this.#T()}))}#x(){let{msgId:e}=this,t=this.isConnected&&e?this.#e:void 0,[n,i]=this.#p??[];t===n&&(t===void 0||e===i)||(this.#m?.(),this.#m=void 0,this.#p=void 0,this.#a?.hide(),this.isConnected&&(this.#l=void 0,this.#f="",t!==void 0&&(this.#p=[t,e],this.#m=A(t).watch(e,this.read,this.of,(o,r)=>{this.#l=o,this.#v=r!==void 0,r!==void 0&&this.#a?.shown&&this.#a.event(r,o.read),this.#g()}))))}#T(){let e=this.#l??{read:this.read,of:void 0,at:void 0},t=z({read:e.read,of:e.of??this.of,at:e.at??this.readAt,personal:this.#l?.personal},this.texts,S(this.locale)),n=t.state!=="sent"&&this.msgId!==""&&this.#S!==void 0,i=this.#k(n);i.dataset.state=t.state,i.setAttribute("aria-label",t.label),this.#d.textContent!==t.text&&(this.#d.textContent=t.text),this.#a?.shown&&this.#a.label(t.label),this.#L(t.state),this.#M(t.label)}get#S(){let e=this.#e;return this.#i??(e&&((t,n)=>e.receiptsOf(t,n)))}#k(e){let t=e?"button":"span",n=this.#h;if(n?.localName===t)return n;let i=[this.#s,this.#d];this.#s.setAttribute("part","ticks");let o=e?a("button",{part:"summary button",type:"button"},...i):a("span",{part:"summary",role:"img"},...i);return this.#E(),o instanceof HTMLButtonElement&&(o.setAttribute("aria-haspopup","dialog"),o.setAttribute("aria-expanded","false"),o.addEventListener("click",()=>this.#a??=this.#C(o))),n===void 0?this.#o.prepend(o):n.replaceWith(o),this.#h=o,o}#E(){this.#a?.remove(),this.#a=void 0,this.#h?.localName==="button"&&this.#h.setAttribute("aria-expanded","false")}#C(e){let t=new b(e);return t.element.addEventListener("beforetoggle",n=>{let i=this.#S;if(n.newState!=="open"||i===void 0)return;let{msgId:o,nameOf:r,texts:d,locale:l}=this;t.start({msgId:o,load:i,nameOf:r,texts:d,writing:S(l)},this.#f)}),t.element.addEventListener("toggle",n=>{let i=n.newState==="open";e.setAttribute("aria-expanded",String(i));let o=this.#o.activeElement??document.activeElement;!i&&(o===document.body||t.element.contains(o))&&e.focus({preventScroll:!0});let r={msg_id:this.msgId},d=i?"seen-by-open":"seen-by-close";this.dispatchEvent(new CustomEvent(d,{bubbles:!0,composed:!0,detail:r}))}),e.after(t.element),e.popoverTargetElement=t.element,t}#L(e){if(e===this.#c)return;let t=this.#r.states;this.#c!==void 0&&t?.delete(this.#c),t?.add(e),this.#c=e}#M(e){this.announce&&this.#u===void 0&&(this.#u=a("span",{role:"status",class:"said"}),this.#o.append(this.#u));let t=this.#f!==""&&this.#f!==e;this.#f=e,t&&this.#v&&this.announce&&this.#u!==void 0&&G.say(this.#u,e),this.#v=!1}};function O(s){let e=s===null||s.trim()===""?NaN:Number(s);return Number.isFinite(e)&&e>=0?Math.floor(e):void 0}globalThis.customElements&&!customElements.get("seen-by")&&customElements.define("seen-by",v);export{x as ENGLISH,v as SeenByElement};
