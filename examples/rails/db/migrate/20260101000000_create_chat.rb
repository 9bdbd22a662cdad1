# frozen_string_literal: true

class CreateChat < ActiveRecord::Migration[6.1]
  def change
    create_table :groups, id: :string
    create_table :members do |table|
      table.string :group_id, null: false
      table.string :user_id, null: false
      table.index %i[group_id user_id], unique: true
    end
    create_table :messages do |table|
      table.string :group_id, null: false
      table.string :sender, null: false
      table.text :text, null: false
    end
    # The outbox: calls that are still to be made.
    create_table :outbox_calls do |table|
      table.string :http_method, null: false
      table.string :path, null: false
      table.json :body, null: false
    end
  end
end
