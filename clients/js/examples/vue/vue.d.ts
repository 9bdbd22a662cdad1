// What TypeScript knows of .vue files where no tool of Vue's own is at work.

declare module "*.vue" {
  import type { Component } from "vue";
  const component: Component;
  export default component;
}
